"""uvicorn as this gateway runs it: on sockets it is given, under limits, ended by order.

Each worker has a listening socket of its own on the same port, with SO_REUSEPORT, and the
kernel deals connections out.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import uvicorn
from litestar.types import ASGIApp
from typing_extensions import override

from gateway.api.listening import BACKLOG, Listeners, waiting
from gateway.dataplane.protocol import GuardedProtocol
from gateway.dataplane.serving import Serve, SpliceProtocol
from gateway.dataplane.watch import PortLimits, Watch

_UNSENT_BYTES = 65_536
"""What the kernel takes of an answer before the network can; else up to 4 MB for each client.

Then a client that does not read is noticed, and its replica held back, while little waits.
"""
_LAST_REQUESTS_S = 0.3
"""At the end: how long a connection that has just been made may take to send its request."""
_LAST_CONNECTIONS_S = 5.0
"""With a successor: how long a client may go on to use a connection that it kept open.

Its next answer tells it to open another; one that is closed meets the request on its way.
"""
_LOOK_S = 0.1


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
        self._held: Sequence[socket.socket] = ()
        self._on_started = on_started
        self._succeeded = False
        self._watch = watch = Watch(limits or PortLimits())
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
                backlog=BACKLOG,
                timeout_graceful_shutdown=linger_s,
            )
        )

        self.listeners = Listeners(
            self._protocol, self.server_state.connections, watch.limits.connections
        )

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, then say so."""
        await super().startup([])
        await self.listeners.listen_on(sockets or ())
        if self._on_started is not None:
            self._on_started()

    def hold(self, sockets: Sequence[socket.socket]) -> None:
        """Let go of these listening sockets too, as of its own, at the end."""
        self._held = sockets

    async def listen_on(self, sockets: Sequence[socket.socket]) -> None:
        """Accept from these sockets, and from no others."""
        await self.listeners.listen_on(sockets)

    @override
    async def on_tick(self, counter: int) -> bool:
        """Look what has changed, ten times a second."""
        await self.listeners.make_room()
        return await super().on_tick(counter)

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening without turning anybody away, then let open responses finish.

        What the kernel has queued on these sockets is left to the successor, if there is one;
        else it is accepted first, for it would be reset with the last copy of its socket. From
        now on each answer asks its client to connect anew, and clients get a moment to send the
        requests that are on their way before idle connections are closed.
        """
        self.listeners.close()
        late: list[socket.socket] = []
        for sock in {*(sockets or ()), *self._held}:
            if not self._succeeded:
                late += waiting(sock)
            sock.close()
        self._watch.ending = True
        loop = asyncio.get_running_loop()
        for connection in late:
            await loop.connect_accepted_socket(self._protocol, connection)
        await self._last_requests()
        await super().shutdown([])

    async def _last_requests(self) -> None:
        """Wait until no connection is idle, but not for long."""
        for connection in self.server_state.connections:
            cast("GuardedProtocol", connection).last_answers()
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while (took_s := loop.time() - began_at) < _LAST_CONNECTIONS_S:
            if took_s > _LAST_REQUESTS_S and not (self._succeeded and self._any_idle()):
                return
            await asyncio.sleep(_LOOK_S)

    def _any_idle(self) -> bool:
        connections = self.server_state.connections
        return any(cast("GuardedProtocol", each).is_idle for each in connections)

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

    def stop_accepting(self, *, succeeded: bool = False) -> None:
        """Close listening sockets and idle connections; running requests finish.

        ``succeeded``: others hold the same sockets, and go on to accept from them.
        """
        self._succeeded = succeeded
        self.should_exit = True


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound with SO_REUSEPORT but not listening yet: it holds the port only.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Connections inherit it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)  # noqa: FBT003 - the library's signature
    return sock
