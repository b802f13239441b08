"""A TCP proxy in front of one replica that strikes its answers as a schedule says.

Rule: only calls of the run are struck one by one (they are known by their ``x-request-id``);
probes pass, but for a window, in which the whole replica fails. The proxy keeps what it sent of
every answer: the ledger must say what a gateway can have seen, not what was meant.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.chaos.calls import number_of
from tests.chaos.faults import Injection, Strikes
from tests.chaos.ledger import Ledger
from tests.chaos.replica import FAULT_HEADER
from tests.chaos.script import End, Pause, Send, in_pieces, perform
from tests.chaos.waiting import until
from tests.chaos.wire import HEAD_END, Message

_MUCH = 1 << 18
_ON_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing sends RST."""


@dataclass(eq=False)
class Line:
    """A connection from the gateway, and the answer that is on its way over it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int | None = None
    sent: bytearray = field(default_factory=bytearray)
    struck: bool = False
    busy: bool = False

    @property
    def gone(self) -> bool:
        """Whether the gateway has closed its side."""
        return (
            self.reader.at_eof()
            or self.reader.exception() is not None
            or self.writer.is_closing()
        )

    async def until_gone(self) -> None:
        """Wait for that."""
        await until(lambda: self.gone)

    async def send(self, data: bytes) -> None:
        """Send bytes of the answer.

        Raises:
            ConnectionError: nobody takes them any more.
        """
        if self.gone:
            raise ConnectionResetError
        self.writer.write(data)
        self.sent += data
        await self.writer.drain()

    def reset(self) -> None:
        """Send RST."""
        seen = self.writer.get_extra_info("socket")
        with suppress(OSError):
            seen.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ON_RESET)
        self.writer.transport.abort()


class Proxy:
    """Stands for one replica; `open` before use, `close` after."""

    def __init__(self, name: str, replica_port: int, strikes: Strikes, ledger: Ledger) -> None:
        self.name = name
        self.port = 0
        self._replica_port = replica_port
        self._strikes = strikes
        self._ledger = ledger
        self._server: asyncio.Server | None = None
        self._lines: set[Line] = set()
        self._dark = False

    @property
    def url(self) -> str:
        """Where the replica seems to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def busy(self) -> int:
        """Answers under way."""
        return sum(line.busy for line in self._lines)

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Listen no more; idle connections are closed, answers under way go on."""
        if self._server is not None:
            self._server.close()
        for line in self._lines:
            if not line.busy:
                line.writer.close()

    def fall(self) -> None:
        """Refuse, and reset all there is."""
        self.refuse()
        for line in list(self._lines):
            self._struck_by("down", line)
            line.reset()

    def darken(self) -> None:
        """Send nothing more; what comes in is taken."""
        self._dark = True
        for line in self._lines:
            self._struck_by("dark", line)

    def lighten(self) -> None:
        """Answer new connections again; those of the dark time are reset."""
        self._dark = False
        for line in list(self._lines):
            line.reset()

    async def close(self) -> None:
        """End all."""
        self.fall()
        await until(lambda: not self._lines)

    def _struck_by(self, kind: str, line: Line) -> None:
        if line.busy and line.number is not None and not line.struck:
            line.struck = True
            self._ledger.strike(line.number, self.name, kind, bytes(line.sent))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        self._lines.add(line)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while not line.gone:
                await self._answer(line)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._lines.discard(line)
            writer.close()

    async def _answer(self, line: Line) -> None:
        head = await line.reader.readuntil(HEAD_END)
        body = await line.reader.readexactly(Message(head).length)
        line.number = number_of(Message(head).headers.get("x-request-id", ""))
        line.sent, line.struck, line.busy = bytearray(), False, True
        try:
            if self._dark:
                self._struck_by("dark", line)
                await line.until_gone()
            elif line.number is None:
                await self._pass_on(line, head, body)
            else:
                await self._strike(line, line.number, head, body)
        finally:
            line.busy = False

    async def _strike(self, line: Line, number: int, head: bytes, body: bytes) -> None:
        arrival = self._ledger.arrive(number)
        stream = b'"stream":true' in body.replace(b" ", b"")
        injection = self._strikes(number, arrival, stream=stream)
        if injection is None:
            await self._pass_on(line, head, body)
            return
        try:
            await self._carry_out(injection, line, head, body)
        finally:
            self._struck_by(injection.kind, line)

    async def _carry_out(
        self, injection: Injection, line: Line, head: bytes, body: bytes
    ) -> None:
        told = injection.told(_tokens(body))
        if told is not None:
            more = f"{FAULT_HEADER}: {told}\r\n\r\n".encode()
            await self._pass_on(line, head[: -len(b"\r\n")] + more, body)
            return
        heard = bytearray()

        async def hear(data: bytes) -> None:
            heard.extend(data)

        await self._ask(line, head, body, hear)
        for step in perform(injection, bytes(heard)):
            await self._do(step, line)

    async def _do(self, step: Send | Pause | End, line: Line) -> None:
        if self._dark:
            await line.until_gone()
        match step:
            case Send(data):
                await line.send(data)
                await asyncio.sleep(0)
            case Pause(s):
                await asyncio.sleep(s)
            case End.RESET:
                line.reset()
            case End.HALF_CLOSE:
                line.writer.write_eof()
                await line.until_gone()
            case End.SILENCE:
                await line.until_gone()

    async def _pass_on(self, line: Line, head: bytes, body: bytes) -> None:
        rng = Random(line.number)

        async def send(data: bytes) -> None:
            if self._dark:
                await line.until_gone()
            for part in in_pieces(data, rng):
                await line.send(part.data)

        ended = await self._ask(line, head, body, send)
        if ended is not None:  # the replica ended it; so does the gateway see it
            line.reset() if ended else line.writer.close()

    async def _ask(self, line: Line, head: bytes, body: bytes, take: "_Take") -> bool | None:
        """Ask the replica, and give what comes to ``take`` until the answer is whole.

        Returns:
            None if it became whole, else whether the replica reset the connection.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self._replica_port)
        asking = asyncio.ensure_future(_hear(reader, take))
        leaving = asyncio.ensure_future(line.until_gone())
        try:
            writer.write(head + body)
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ConnectionResetError
            return asking.result()
        finally:
            for task in (asking, leaving):
                task.cancel()
            await asyncio.gather(asking, leaving, return_exceptions=True)
            writer.transport.abort()


_Take = Callable[[bytes], Awaitable[None]]


async def _hear(reader: asyncio.StreamReader, take: "_Take") -> bool | None:
    raw = b""
    while not Message(raw).finished:
        try:
            data = await reader.read(_MUCH)
        except ConnectionError:
            return True
        if not data:
            return False
        raw += data
        await take(data)
    return None


def _tokens(body: bytes) -> int:
    _, _, rest = body.partition(b'"max_tokens":')
    return int(rest.split(b",")[0].split(b"}")[0])
