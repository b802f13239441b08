"""Carry one replica's answer to the client with no step in between.

No task stands between the two sockets: an arrival is read, timed, framed and written in one
call, and the task that serves the request sleeps until the answer's end. The law is that of
`relay`, and so are the tests.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.core.answers import StreamReader
from gateway.core.errors import UpstreamError
from gateway.core.likeness import whole_chunk
from gateway.core.patience import Patience
from gateway.dataplane.answer import Answer
from gateway.dataplane.client import OnFirst
from gateway.dataplane.relay import Waiting, waited

Reframe = Callable[[bytes], bytes | None]


class Target(Waiting, Protocol):
    """A client that is written to without waiting."""

    paused: bool
    """It reads more slowly than it is written to."""
    write_chunk: Callable[[bytes], None]
    """Sends an HTTP chunk of whole events, in a stream that has begun."""

    def write(self, events: bytes, *, last: bool) -> None:
        """Send whole events, and the end of the stream with the ``last``."""
        ...


class Splice:
    """Writes one answer to one client as it arrives."""

    __slots__ = (
        "_answer",
        "_client",
        "_clock",
        "_meter",
        "_on_first",
        "_over",
        "_reframed",
        "_stream",
        "_write_chunk",
    )

    def __init__(
        self, answer: Answer, stream: StreamReader, client: Target, on_first: OnFirst
    ) -> None:
        """Carry ``answer``, read by ``stream``, to ``client``."""
        self._answer = answer
        self._stream = stream
        self._meter = stream.meter
        self._client = client
        self._clock = answer.clock
        self._write_chunk = client.write_chunk
        self._on_first: OnFirst | None = on_first
        self._reframed: Reframe | None = None
        """Reads the next arrival as `lane` does; None where it must be read in full."""
        self._over = False

    async def run(self, patience: Patience, loop: asyncio.AbstractEventLoop) -> None:
        """Write until the stream is done; see `Client.relay`."""
        answer, stream = self._answer, self._stream
        answer.divert(self.take, self.lane)
        if self._client.paused:
            answer.hold_back()
        while not stream.done:
            if answer.failure is not None:
                raise answer.failure
            if answer.complete:
                stream.closed()
            try:
                await answer.change(self._until(patience, loop))
            except TimeoutError:
                if loop.time() >= self._until(patience, loop):
                    await waited(self._client, patience, started=stream.started)

    def hold_back(self) -> None:
        """Let no more come until `let_on`."""
        self._answer.hold_back()

    def let_on(self) -> None:
        """Let it come again."""
        self._answer.let_on()

    def cut(self) -> None:
        """Write no more: the client is gone, or has all that it gets."""
        self._over = True
        self._reframed = None

    def lane(self, data: bytes) -> int:
        """Write what arrived unparsed, as far as it is HTTP chunks of the usual kind.

        All that is done for most tokens is done here. Returns how many bytes were taken.
        """
        reframed = self._reframed
        if reframed is None:
            return 0
        at = self._clock()
        chunk = reframed(data)
        if chunk is None:
            return self._several(data, at, reframed)
        meter = self._meter
        meter.gaps_s.append(at - meter.last_at)  # as `StreamMeter.more` does
        meter.last_at = at
        self._write_chunk(chunk)
        return len(data)

    def _several(self, data: bytes, at: float, reframed: Reframe) -> int:
        """Take the chunks that `lane` would take one by one."""
        taken: list[bytes] = []
        start, end = 0, whole_chunk(data, 0)
        while end and len(data) > end - start:
            chunk = reframed(data[start:end])
            if chunk is None:
                break
            self._meter.more(at)
            taken.append(chunk)
            start, end = end, whole_chunk(data, end)
        if taken:
            self._write_chunk(b"".join(taken))
        if start < len(data):
            # A full reading must first say again that a chunk begins where the next read does.
            self._reframed = None
        return start

    def take(self, body: bytes, at: float) -> None:
        """Read in full what arrived ``at``, and write it."""
        if self._over:  # what follows is the end of the body, or worth nothing
            return
        stream, answer = self._stream, self._answer
        try:
            events = stream.feed(body, at)
        except UpstreamError as failure:
            self.cut()
            answer.fail(failure)
            return
        if events:
            self._client.write(events, last=stream.done)
            if self._on_first is not None:
                self._tell_first()
        if stream.failure is not None:
            self.cut()
            answer.fail(stream.failure)
        elif stream.done:
            self.cut()
            answer.wake()
        elif answer.aligned and stream.likeness is not None and stream.between_events:
            self._reframed = stream.likeness.reframed
        else:  # it is still set where several pieces had come before `run`
            self._reframed = None

    def _tell_first(self) -> None:
        first_at = self._stream.meter.first_at
        if first_at is not None and self._on_first is not None:
            self._on_first(first_at)
        self._on_first = None

    def _until(self, patience: Patience, loop: asyncio.AbstractEventLoop) -> float:
        if not self._stream.started:
            return patience.until_first()
        now = loop.time()
        if self._client.paused:  # then it is not the replica that is silent
            return patience.until_next(now)
        heard_at = max(self._answer.arrived_at, self._stream.meter.last_at)
        return patience.until_next(now - (self._clock() - heard_at))
