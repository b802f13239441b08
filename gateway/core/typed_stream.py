"""Follow one streamed answer that is made of typed events, as `core.stream` follows chunks.

The law of endings: such an answer is complete only with its last event, which an `EventReader`
knows; that the body ended, or that ``[DONE]`` came, proves nothing. What the client gets is
written anew from each event's JSON (one ``event:`` line named by its ``type``, one ``data:``
line), never the replica's own lines: nothing in them can pass for another event. Nothing is
handed out before the first content, so that until then the request can go to another replica
unseen.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from gateway.core.errors import UpstreamDisconnected, UpstreamError, UpstreamProtocolError
from gateway.core.sse import DONE, MOST_HELD_BYTES, SseReader
from gateway.core.timing import StreamMeter
from gateway.core.usage import Usage

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ONE_CHOICE = 0


@dataclass(frozen=True, slots=True)
class TypedEvent:
    """One event of a stream, read."""

    type: str
    payload: bytes
    """Its JSON as the client gets it."""
    content: bool = False
    """It brings a part of the answer itself."""
    last: bool = False
    """With it the answer is complete."""
    number: int | None = None
    """Its ``sequence_number``; None: one more than the last."""


class EventReader(Protocol):
    """Knows the events of one protocol; one for each answer."""

    @property
    def usage(self) -> Usage | None:
        """Token counts; None until the replica reported."""
        ...

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why the answer ended; empty until it has."""
        ...

    def read(self, payload: bytes) -> TypedEvent:
        """Read the JSON of one event.

        Raises:
            UpstreamError: the event reports a failure.
            UpstreamProtocolError: it is no event of this protocol.
        """
        ...


class TypedStream:
    """Reads a replica's event stream; one for each attempt."""

    __slots__ = (
        "_begun",
        "_events",
        "_held",
        "_number",
        "_reader",
        "done",
        "failure",
        "meter",
    )

    def __init__(self, events: EventReader) -> None:
        """Understand what comes by ``events``."""
        self.meter = StreamMeter()
        self.done = False
        """The answer is complete and its last event was handed out."""
        self.failure: UpstreamError | None = None
        """What broke the answer off after the events that `feed` returned last."""
        self._events = events
        self._reader = SseReader()
        self._begun = False
        """Events were handed out."""
        self._held = bytearray()
        self._number = 0
        """That the next event would have."""

    @property
    def started(self) -> bool:
        """Whether content has come: from here on there is no second attempt."""
        return self.meter.first_at is not None

    @property
    def usage(self) -> Usage | None:
        """Token counts; None until the replica reported."""
        return self._events.usage

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why the answer ended; empty until it has."""
        return self._events.finish_reasons

    def feed(self, chunk: bytes, at: float) -> bytes:
        """Take bytes that arrived ``at``; return the events that may go to the client now.

        A failure after events that the client must still get is left in `failure`.

        Raises:
            UpstreamError: the replica reported a failure inside the stream.
            UpstreamProtocolError: it sent something that is no part of an answer.
        """
        for payload in self._reader.feed(chunk):
            if self.done:  # some servers say [DONE] all the same
                break
            try:
                self._take(payload, at)
            except UpstreamError as failure:
                if not self._begun:  # what came with it was seen by nobody: try elsewhere
                    raise
                self.failure = failure
                break
        if not (self._begun or self.started or self.done):
            if len(self._held) > MOST_HELD_BYTES:
                raise UpstreamProtocolError("the replica sent too much without any content")
            return b""
        self._begun = True
        held, self._held = bytes(self._held), bytearray()
        return held

    @property
    def likeness(self) -> None:
        """No event may be known by another: each has its own number."""
        return

    @property
    def between_events(self) -> bool:
        """Whether what comes next begins an event."""
        return not self._reader.unfinished

    @property
    def next_number(self) -> int:
        """The ``sequence_number`` after those that were handed out."""
        return self._number if self._begun else 0

    def closed(self) -> None:
        """Say that the replica ended its answer.

        Raises:
            UpstreamDisconnected: the answer was not complete.
        """
        if not self.done:
            raise self._ended_early()

    def _take(self, payload: bytes, at: float) -> None:
        if payload == DONE:
            raise self._ended_early()
        event = self._events.read(payload)
        if _NAME.fullmatch(event.type) is None:
            raise UpstreamProtocolError("the replica sent an event whose type is no name")
        if event.content:
            self.meter.content(_ONE_CHOICE, at)
        self.done = event.last
        self._number = (self._number if event.number is None else event.number) + 1
        self._held += b"event: %b\ndata: %b\n\n" % (event.type.encode(), event.payload)

    def _ended_early(self) -> UpstreamDisconnected:
        return UpstreamDisconnected(
            f"the replica's answer ended early, after {self.meter.events} content events"
        )
