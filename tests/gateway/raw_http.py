"""Servers in threads of their own, and clients that speak to them in raw bytes.

An application counts what reaches it: a request that is refused must not, and one that is
smuggled in would show.
"""

import asyncio
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.api.server import HttpServer, bound_socket
from gateway.dataplane.watch import PortLimits

PATIENCE_S = 30.0
PATIENT = PortLimits(header_s=60, body_s=60)
"""So that no probe meets a time limit on a busy machine."""


@dataclass
class Counted:
    """An application, and the requests that reached it."""

    app: Any
    scopes: list = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Port:
    """Where a server listens, and what reached its application."""

    address: tuple
    server: HttpServer

    @property
    def seen(self):
        return len(self.server.config.app.scopes)

    @property
    def connections(self):
        return len(self.server.server_state.connections)

    def connect(self):
        return Client(self.address)


@contextmanager
def serving(
    make_app: Callable, limits=PATIENT, *, plain=False, loop=uvloop.new_event_loop, **known
):
    """Serve, in a thread, what ``make_app`` makes there; ``plain``: uvicorn alone."""
    started, made = threading.Event(), []

    async def serve():
        server = HttpServer(Counted(make_app()), limits=limits, on_started=started.set, **known)
        if plain:
            server.config.http = HttpToolsProtocol
        end = asyncio.Event()
        made.extend([Port(sock.getsockname(), server), asyncio.get_running_loop(), end])
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.serve(sockets=[sock]))
            await end.wait()
            running.cancel()
        await _cut(server)

    def run():
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(serve())

    with bound_socket("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(PATIENCE_S)
        port, its_loop, end = made
        try:
            yield port
        finally:
            its_loop.call_soon_threadsafe(end.set)
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


async def _cut(server):
    """End all at once: an orderly end takes half a second."""
    state = server.server_state
    server.listeners.close()
    for connection in tuple(state.connections):
        connection.transport.abort()
    for task in tuple(state.tasks):
        task.cancel()
    while state.connections or state.tasks:  # noqa: ASYNC110 - knows no event
        await asyncio.sleep(0.001)


def wait_until(condition):
    """Wait, as long as a busy machine may need."""
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


@dataclass
class Answer:
    """One response."""

    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False


class Client:
    """One connection; closed by its context."""

    def __init__(self, address) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE_S)
        # Each send is a packet of its own.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = httptools.HttpResponseParser(self)
        self.answers: list[Answer] = []
        self.closed = False
        """The server ended the connection, in order."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def send(self, *parts):
        for part in parts:
            self._socket.sendall(part)

    def drip(self, piece):
        """Send ``piece`` again and again until something comes back."""
        while not select.select([self._socket], [], [], 0.02)[0]:
            self._socket.sendall(piece)

    def end_sending(self):
        self._socket.shutdown(socket.SHUT_WR)

    def read(self, answers):
        """Read until so many answers are whole, or the server closes; return all so far."""
        while not self.closed and sum(each.whole for each in self.answers) < answers:
            data = self._socket.recv(65_536)
            if data:
                self._parser.feed_data(data)
            else:
                self.closed = True
        return self.answers

    def read_to_the_end(self):
        return self.read(10**9)

    def read_some(self, text):
        """Read until ``text`` came in the body of the first answer."""
        while not (self.answers and text in self.answers[0].body):
            self._parser.feed_data(self._socket.recv(65_536))

    def read_raw(self):
        """Read to the end, unparsed."""
        parts = []
        while part := self._socket.recv(65_536):
            parts.append(part)
        return b"".join(parts)

    @property
    def statuses(self):
        return [each.status for each in self.answers]

    def on_message_begin(self):
        self.answers.append(Answer())

    def on_header(self, name, value):
        self.answers[-1].headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self):
        self.answers[-1].status = self._parser.get_status_code()

    def on_body(self, body):
        self.answers[-1].body += body

    def on_message_complete(self):
        self.answers[-1].whole = True
