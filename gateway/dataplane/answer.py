"""One replica's answer as it arrives: status, then the body's pieces, each with its time.

Owned by one frame, which must `close` it however that frame ends. Reading is paused while more
than 64 KiB wait to be read, so that a client that reads slowly slows the replica and not the
gateway's memory.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import httptools

from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.dataplane.alarm import Alarm

_HIGH_WATER_BYTES = 65_536
_LOW_WATER_BYTES = 16_384
_FIRST_FINAL_STATUS = 200


class Carrier(Protocol):
    """The connection that an answer came over."""

    transport: asyncio.Transport | None
    lane: Callable[[bytes], int] | None
    """Takes what arrives first, and returns how many bytes of it."""
    alarm: Alarm
    """Of whoever waits for what comes over it."""

    def release(self, *, reusable: bool) -> None:
        """Give the connection back, or end it."""
        ...


class Answer:
    """What a replica sends back to one request."""

    __slots__ = (
        "_arrived",
        "_carrier",
        "_chunk_ended",
        "_head_seen",
        "_keep_alive",
        "_loop",
        "_parser",
        "_paused",
        "_pieces",
        "_sink",
        "_waiter",
        "_waiting_bytes",
        "aligned",
        "arrived_at",
        "begun",
        "clock",
        "complete",
        "connect_s",
        "failure",
        "status",
    )

    def __init__(
        self,
        carrier: Carrier,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        *,
        connect_s: float | None,
    ) -> None:
        """Read from ``carrier``, whose arrivals are stamped by ``clock``.

        ``connect_s`` is how long connecting took, None if it was pooled.
        """
        self.status = 0
        self.begun = False
        """Anything came at all."""
        self.aligned = False
        """What comes next begins an HTTP chunk, or is the end."""
        self.complete = False
        """All of it came."""
        self.failure: UpstreamError | None = None
        """What broke it off."""
        self.arrived_at = clock()
        """When the last bytes came; at first, when the request was sent."""
        self.connect_s = connect_s
        self._carrier: Carrier | None = carrier
        self._loop = loop
        self.clock = clock
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._arrived: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._head_seen = False
        self._keep_alive = False
        self._sink: Callable[[bytes, float], None] | None = None
        self._chunk_ended = False
        self._waiter: asyncio.Future[None] | None = None

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Refuse a second answer: nobody asked for one."""
        self.begun = True
        if self.complete:
            raise UpstreamProtocolError("the replica sent more than its answer")

    def on_headers_complete(self) -> None:
        """Note the status; 1xx answers announce, they do not answer."""
        status = self._parser.get_status_code()
        if status >= _FIRST_FINAL_STATUS:
            self.status = status
            self._head_seen = True

    def on_chunk_header(self) -> None:
        """Note that a chunk began."""
        self._chunk_ended = False

    def on_chunk_complete(self) -> None:
        """Note that it ended."""
        self._chunk_ended = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Note the end; the end of a 1xx is none."""
        if self._head_seen:
            self.complete = True
            # Asked now: afterwards the parser is set for a next message and knows no more.
            self._keep_alive = self._parser.should_keep_alive()

    # What the connection calls.

    def feed(self, data: bytes, at: float) -> None:
        """Take bytes that arrived ``at``."""
        if self.complete:
            self.fail(UpstreamProtocolError("the replica sent more than its answer"))
            return
        self.arrived_at = at
        try:
            self._parser.feed_data(data)
        finally:  # what came before a fault can still be read
            self.aligned = self._chunk_ended and data.endswith(b"\r\n")
            pieces = self._pieces
            if pieces:
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces.clear()
                if self._sink is None:
                    self._keep(at, body)
                else:
                    self._sink(body, at)
            if self._sink is None or self.complete:
                self.wake()

    def fail(self, failure: UpstreamError) -> None:
        """End the answer, unless it is whole already: what arrived before can still be read."""
        if self.failure is None:
            self.failure = failure
        self.wake()

    # What the owner calls.

    async def head(self, until: float) -> None:
        """Wait for the status line.

        Raises:
            UpstreamError: the connection ended, or carried no HTTP.
            TimeoutError: ``until`` (loop time) passed.
        """
        while not self._head_seen:
            if self.failure is not None:
                raise self.failure
            await self.change(until)

    def divert(
        self, sink: Callable[[bytes, float], None], lane: Callable[[bytes], int] | None = None
    ) -> None:
        """Give each piece of the body, with its time, to ``sink`` as it arrives.

        What has arrived already goes there now. `change` then tells of the end alone.
        ``lane``, if given, first takes what it will of an arrival, as it came over the wire:
        whole HTTP chunks alone, and only after what left this `aligned`.
        """
        self._sink = sink
        if self._carrier is not None:
            self._carrier.lane = lane
        while self._arrived:
            at, body = self._pop()
            sink(body, at)

    async def read(self, until: float) -> tuple[float, bytes] | None:
        """Return the next bytes and when they arrived; None at the end of a whole answer.

        Raises:
            UpstreamError: the answer broke off; what had arrived was returned before.
            TimeoutError: nothing came ``until`` (loop time); reading may go on.
        """
        while True:
            if self._arrived:
                return self._pop()
            if self.complete:
                return None
            if self.failure is not None:
                raise self.failure
            await self.change(until)

    def hold_back(self) -> None:
        """Read no more from the replica until `let_on`."""
        carrier = self._carrier
        if not self._paused and carrier is not None and carrier.transport is not None:
            self._paused = True
            carrier.transport.pause_reading()

    def let_on(self) -> None:
        """Read on."""
        carrier = self._carrier
        if self._paused and carrier is not None and carrier.transport is not None:
            self._paused = False
            self.arrived_at = self.clock()  # it could not be heard until now
            carrier.transport.resume_reading()

    def close(self) -> None:
        """Give the connection back if the answer was read whole, else end it.

        Safe to call twice.
        """
        self.let_on()
        carrier, self._carrier = self._carrier, None
        if carrier is None:
            return
        carrier.alarm.clear()
        # The parser calls back here: left alone, the two would hold each other until the
        # garbage collector came, which would pause every stream.
        del self._parser
        self._sink = None
        whole = self.complete and self.failure is None and not self._arrived
        self.failure = None  # once raised, it knows the frames that know this object
        carrier.release(reusable=whole and self._keep_alive)

    def _pop(self) -> tuple[float, bytes]:
        arrival = self._arrived.popleft()
        self._waiting_bytes -= len(arrival[1])
        if self._paused and self._waiting_bytes <= _LOW_WATER_BYTES:
            self.let_on()
        return arrival

    def _keep(self, at: float, body: bytes) -> None:
        self._arrived.append((at, body))
        self._waiting_bytes += len(body)
        if self._waiting_bytes > _HIGH_WATER_BYTES:
            self.hold_back()

    def change(self, until: float) -> "asyncio.Future[None]":
        """Return what is done when anything happened; it fails with TimeoutError ``until``."""
        if self._carrier is not None:
            self._carrier.alarm.set(until, self._time_up)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _time_up(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(TimeoutError())

    def wake(self) -> None:
        """End the wait of `change`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
