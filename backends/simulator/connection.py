"""uvicorn's protocol, and two things more: when a socket was lost, and ways to end one badly.

Both are beyond what ASGI offers, so requests carry the `Connection` in their scope.
"""

import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, cast

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "backends.simulator.connection"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing sends RST."""


class Connection:
    """The client's socket, as the application sees it."""

    def __init__(self, transport: Any) -> None:  # noqa: ANN401 - uvloop's transport has no type
        self._transport = transport
        self._watchers: set[Callable[[], None]] = set()
        self.peer = "Address(host={!r}, port={!r})".format(
            *transport.get_extra_info("peername")[:2]
        )
        self.lost = False

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Call ``on_lost`` once, when the socket is closed by either side."""
        self._watchers.add(on_lost)

    def unwatch(self, on_lost: Callable[[], None]) -> None:
        """Take back `watch`."""
        self._watchers.discard(on_lost)

    def close(self) -> None:
        """Close after what was written: the client sees the end of the stream."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the connection: the client sees ECONNRESET."""
        seen = self._transport.get_extra_info("socket")
        with socket.socket(
            fileno=os.dup(seen.fileno())
        ) as raw:  # uvloop's own cannot set options
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def mark_lost(self) -> None:
        """Tell the watchers."""
        self.lost = True
        watchers, self._watchers = self._watchers, set()
        for on_lost in watchers:
            on_lost()


class WatchedProtocol(HttpToolsProtocol):
    """Puts a `Connection` into each request's scope."""

    @override
    def connection_made(self, transport: Any) -> None:
        """Wrap the transport."""
        super().connection_made(transport)
        self.connection = Connection(transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who watches, after uvicorn has marked its own request."""
        super().connection_lost(exc)
        self.connection.mark_lost()

    @override
    def on_message_begin(self) -> None:
        """Add the connection to the scope."""
        super().on_message_begin()
        extensions: dict[str, Any] = {EXTENSION: self.connection}
        self.scope["extensions"] = extensions


def connection_of(scope: Mapping[str, Any]) -> Connection:
    """Return the request's connection."""
    return cast("Connection", scope["extensions"][EXTENSION])
