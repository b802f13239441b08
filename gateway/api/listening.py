"""The listening sockets of a server: which it accepts from now, and how it lets go of them.

Rule: the sockets belong to the supervisor, and other processes hold them too. To stop accepting
from one loses nothing then: what waits on it is another process's. Only who closes the last
copy of a socket resets what waits there, so that is accepted before.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Iterator, Sequence

_LOG = logging.getLogger(__name__)
BACKLOG = 2048
_RESUME_SHARE = 0.95
"""A server that was full accepts again when this share of its room is taken."""


class Listeners:
    """Accepts connections from any of the sockets that it is told to."""

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        connections: Collection[object],
        most: int | None,
    ) -> None:
        """Accept nothing yet.

        Args:
            protocol: makes what speaks on a connection.
            connections: those that are open now; it changes by itself.
            most: connections at once, beyond which none is accepted: they wait in the kernel,
                where a sibling may take them; None: no limit.
        """
        self._protocol = protocol
        self._connections = connections
        self._most = most
        self._wanted: Sequence[socket.socket] = ()
        self._open: dict[socket.socket, asyncio.Server] = {}
        self._full = False
        self._closed = False

    async def listen_on(self, sockets: Sequence[socket.socket]) -> None:
        """Accept from these sockets, and from no others."""
        self._wanted = sockets
        for gone in self._open.keys() - set(sockets):
            self._open.pop(gone).close()
        for sock in sockets:
            await self._listen(sock)

    async def make_room(self) -> None:
        """Accept again if connections have ended since there were too many."""
        if self._full and self._most is not None:
            self._full = len(self._connections) >= self._most * _RESUME_SHARE
            if not self._full:
                await self.listen_on(self._wanted)

    def close(self) -> None:
        """Accept no more; the sockets are still open."""
        self._closed = True
        self._stop()

    async def _listen(self, sock: socket.socket) -> None:
        if sock in self._open or self._full or self._closed:
            return
        # A copy: closing the server closes its socket.
        server = await asyncio.get_running_loop().create_server(
            self._accepted, sock=sock.dup(), backlog=BACKLOG
        )
        if self._full or self._closed or sock in self._open:  # meanwhile
            server.close()
        else:
            self._open[sock] = server

    def _accepted(self) -> asyncio.Protocol:
        if self._most is not None and len(self._connections) + 1 >= self._most:
            self._full = True
            # Not now: the loop has yet to take this very connection from its listener.
            asyncio.get_running_loop().call_soon(self._stop)
            _LOG.warning("%d connections are open: the next ones wait", self._most)
        return self._protocol()

    def _stop(self) -> None:
        for server in self._open.values():
            server.close()
        self._open.clear()


def waiting(sock: socket.socket) -> Iterator[socket.socket]:
    """Accept what waits on a listening socket that does not block; nothing on a closed one."""
    while True:
        try:
            connection, _ = sock.accept()
        except OSError:
            return
        connection.setblocking(False)  # noqa: FBT003 - the library's signature
        yield connection
