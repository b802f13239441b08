"""uvicorn as this gateway runs it: on a socket it is given, under limits, ended by order.

Every worker listens on the same port with SO_REUSEPORT, and the kernel deals connections out.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import uvicorn
from litestar.types import ASGIApp
from typing_extensions import override

from gateway.dataplane.protocol import GuardedProtocol
from gateway.dataplane.serving import Serve, SpliceProtocol
from gateway.dataplane.watch import PortLimits, Watch

_BACKLOG = 2048
_UNSENT_BYTES = 65_536
"""What the kernel takes of an answer before the network can; else up to 4 MB for each client.

Then a client that does not read is noticed, and its replica held back, while little waits.
"""
_LAST_REQUESTS_S = 0.3
"""At the end: how long a connection that has just been made may take to send its request."""


class HttpServer(uvicorn.Server):
    """Serves until `stop_accepting`, then until the last open response ends."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: PortLimits | None = None,
        protocol: type[GuardedProtocol] = GuardedProtocol,
        on_started: Callable[[], None] | None = None,
        linger_s: int | None = None,
        spliced: Mapping[bytes, Serve] | None = None,
    ) -> None:
        """Serve ``app``; made where the event loop runs.

        Args:
            app: the application.
            limits: what clients may do; None: the data port's, as they are by default.
            protocol: speaks HTTP on each connection.
            spliced: for these paths, what answers instead, straight into the transport; then
                ``protocol`` is this gateway's own.
            on_started: called once the port is open.
            linger_s: at the end, how long open responses may take; None: as long as they do.
        """
        self._on_started = on_started
        watch = Watch(limits or PortLimits())
        guarded: Callable[..., GuardedProtocol] = partial(protocol, watch=watch)
        if spliced is not None:
            guarded = partial(SpliceProtocol, watch=watch, spliced=spliced)
        super().__init__(
            uvicorn.Config(
                app,
                http=cast("type[Any]", guarded),  # called like the class
                loop="none",
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=linger_s,
            )
        )

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, then say so."""
        await super().startup(sockets)
        if self._on_started is not None:
            self._on_started()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening without turning anybody away, then let open responses finish.

        What the kernel had queued on this socket would be reset with it, though the other
        workers could serve it: it is accepted first. And a connection that has just come has
        yet to send its request, so it gets a moment before idle connections are closed.
        """
        late = [connection for sock in sockets or () for connection in _queued(sock)]
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        loop = asyncio.get_running_loop()
        for connection in late:
            await loop.connect_accepted_socket(self._protocol, connection)
        await asyncio.sleep(_LAST_REQUESTS_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # typed as any protocol
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the worker."""
        yield

    def stop_accepting(self) -> None:
        """Close the listening socket and idle connections; running requests finish."""
        self.should_exit = True


def _queued(sock: socket.socket) -> Iterator[socket.socket]:
    """Accept what waits on a listening socket that does not block; nothing on a closed one."""
    while True:
        try:
            connection, _ = sock.accept()
        except OSError:
            return
        connection.setblocking(False)  # noqa: FBT003 - the library's signature
        yield connection


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that shares ``host:port`` with other workers.

    Raises:
        OSError: the address cannot be bound.
    """
    sock = bound_socket(host, port)
    # Connections inherit it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    sock.listen(_BACKLOG)
    return sock


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound with SO_REUSEPORT but not listening: it holds the port only.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)  # noqa: FBT003 - the library's signature
    return sock
