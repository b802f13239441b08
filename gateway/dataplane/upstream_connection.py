"""One TCP connection to a replica: what is sent over it, and whose what comes back is.

Rule: bytes that nobody asked for, or that are no HTTP, end the connection: the next answer on
it could be taken for another's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import httptools
from typing_extensions import override

from gateway.core.errors import (
    UpstreamDisconnected,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from gateway.dataplane.alarm import Alarm
from gateway.dataplane.answer import Answer

_SOCKET_BYTES = 1 << 16
"""So much of a request is sent whether it is read or not: the kernel's buffers take it."""
_NOT_HTTP = (
    httptools.HttpParserError,
    httptools.HttpParserCallbackError,
    httptools.HttpParserUpgrade,
)


class Pool(Protocol):
    """Connections that are not in use."""

    def keep(self, connection: "Connection") -> None:
        """Take back a connection whose answer was read to its end."""
        ...

    def forget(self, connection: "Connection") -> None:
        """Drop a connection that the server closed while it was idle."""
        ...


class Connection(asyncio.Protocol):
    """One TCP connection to a replica; carries one answer at a time."""

    __slots__ = (
        "_answer", "_clock", "_loop", "_pool", "alarm", "idle_at", "lane", "transport",
    )  # fmt: skip

    def __init__(
        self,
        pool: Pool,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Belong to ``pool``."""
        self._pool = pool
        self._clock = clock
        self._loop = loop
        self._answer: Answer | None = None
        self.transport: asyncio.Transport | None = None
        self.lane: Callable[[bytes], int] | None = None
        """Takes what arrives first, and returns how many bytes of it."""
        self.alarm = Alarm(loop)
        """Of whoever waits for what comes over it."""
        self.idle_at = 0.0
        """Loop time when it was last given back."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are of the kind, but not of the class.
        self.transport = cast("asyncio.Transport", transport)

    def ask(
        self, request: Sequence[bytes | memoryview], answer: Answer, *, write_s: float
    ) -> None:
        """Send a request, head and pieces of the body; what comes back goes to ``answer``.

        That fails if nothing of the request is read for ``write_s`` to twice that.
        """
        assert self.transport is not None  # noqa: S101 - set before it is handed out
        self._answer = answer
        self.transport.writelines(request)
        if sum(map(len, request)) > _SOCKET_BYTES:
            self._look_later(answer, write_s, -1)

    def _look_later(self, answer: Answer, write_s: float, unread: int) -> None:
        self._loop.call_later(write_s, self._see_it_read, answer, write_s, unread)

    def _see_it_read(self, answer: Answer, write_s: float, before: int) -> None:
        """Give the request up if no more of it was read than ``before``."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._answer is not answer:
            return
        unread = transport.get_write_buffer_size()
        if unread and unread == before:
            answer.fail(
                UpstreamTimeout(f"the replica read nothing of the request for {write_s:g} s")
            )
            self.abort()
        elif unread:
            self._look_later(answer, write_s, unread)

    @override
    def data_received(self, data: bytes) -> None:
        """Hand arriving bytes to the answer, stamped."""
        lane = self.lane
        if lane is not None:
            taken = lane(data)
            if taken == len(data):
                return
            if taken:
                data = data[taken:]
        answer = self._answer
        if answer is None:  # bytes that nobody asked for: not a connection to trust
            self.abort()
            return
        try:
            answer.feed(data, self._clock())
        except _NOT_HTTP:
            answer.fail(UpstreamProtocolError("the replica's reply is not valid HTTP"))
            self.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, or leave the pool."""
        self.alarm.stop()
        answer, self._answer = self._answer, None
        if answer is None:
            self._pool.forget(self)
        else:
            answer.fail(UpstreamDisconnected("the replica closed the connection early"))

    def release(self, *, reusable: bool) -> None:
        """Give the connection back, or end it."""
        self._answer = self.lane = None
        if reusable and self.transport is not None and not self.transport.is_closing():
            self._pool.keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once: the peer sees it now, whatever is still unsent."""
        if self.transport is not None:
            self.transport.abort()
