"""A request's body as it comes over a connection that is read directly.

Rule: what nobody has asked for yet is kept up to 64 KiB, then the client is held back; once it
is asked for, up to the limit that the request is allowed.
"""

import asyncio
from typing import Protocol

from gateway.dataplane.client import ClientLeft, too_large

_HIGH_WATER_BYTES = 65_536
_MOST_LOOSE = 256
"""Parts are joined by so many: a client that sends them tiny must not fill the memory."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodySource(Protocol):
    """Where the body comes from."""

    @property
    def transport(self) -> asyncio.Transport:
        """Where the client is told to go on."""
        ...

    def pause_reading(self) -> None:
        """Read no more from the client."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...


class RequestBody:
    """One request's body."""

    __slots__ = (
        "_bytes",
        "_limit",
        "_loop",
        "_loose",
        "_lost",
        "_parts",
        "_source",
        "_waiter",
        "_whole",
        "unasked",
    )

    def __init__(
        self, source: BodySource, loop: asyncio.AbstractEventLoop, *, expects_continue: bool
    ) -> None:
        """Expect it from ``source``.

        ``expects_continue``: the client waits to be asked for it.
        """
        self._source = source
        self._loop = loop
        self.unasked = expects_continue
        """The client waits to be asked for it, and was not."""
        self._parts: list[bytes] = []
        self._loose = 0
        """Parts not yet joined to others."""
        self._bytes = 0
        self._limit: int | None = None
        self._whole = False
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None

    def came(self, part: bytes) -> None:
        """Take a part of it."""
        self._parts.append(part)
        self._bytes += len(part)
        self._loose += 1
        if self._loose == _MOST_LOOSE:
            self._parts[-_MOST_LOOSE:] = [b"".join(self._parts[-_MOST_LOOSE:])]
            self._loose = 0
        if self._limit is None:
            if self._bytes > _HIGH_WATER_BYTES:
                self._source.pause_reading()
        elif self._bytes > self._limit:
            self._wake()

    def ended(self) -> None:
        """Note that it is whole."""
        self._whole = True
        self._wake()

    def lost(self) -> None:
        """Note that no more will come."""
        self._lost = True
        self._wake()

    def drop(self) -> None:
        """Keep nothing of it: nobody will ask any more."""
        self._parts = []

    async def read(self, limit: int) -> bytes:
        """Return it once it is whole.

        Raises:
            RequestTooLarge: it is longer than ``limit`` bytes.
            ClientLeft: it never came to its end.
        """
        self._limit = limit
        self._source.resume_reading()  # also if it is whole: else the client's end is not seen
        if not self._whole:
            await self._rest(limit)
        if self._bytes > limit:
            raise too_large(limit)
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _rest(self, limit: int) -> None:
        if self.unasked and not self._lost and not self._parts:
            self._source.transport.write(_CONTINUE)
        self.unasked = False
        while not self._whole and self._bytes <= limit:
            if self._lost:
                raise ClientLeft
            self._waiter = self._loop.create_future()
            await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
