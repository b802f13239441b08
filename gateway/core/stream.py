"""Follow one streamed answer: what was said, whether it is complete, what the client gets.

The law of endings: an answer is complete only if every choice has a ``finish_reason`` and
``[DONE]`` came. Nothing here ends a stream well on less, and nothing is handed out before the
first content, so that until then the request can go to another replica unseen.
"""

import msgspec

from gateway.core.chunks import Chunk, Identity, has_content, read
from gateway.core.errors import UpstreamDisconnected, UpstreamError, UpstreamProtocolError
from gateway.core.likeness import Likeness, learn
from gateway.core.request import InferenceRequest
from gateway.core.sse import DONE, MOST_HELD_BYTES, SseReader
from gateway.core.timing import StreamMeter
from gateway.core.usage import Usage, add

_MOST_LESSONS = 4
"""How often in a row a likeness is learned that then never shows again."""


class AnswerStream:
    """Reads a replica's event stream; one for each attempt."""

    __slots__ = (
        "_begun",
        "_choices",
        "_finished",
        "_held",
        "_identity",
        "_lessons",
        "_read",
        "_reader",
        "_request",
        "_usage_payload",
        "done",
        "failure",
        "likeness",
        "meter",
        "usage",
    )

    def __init__(self, request: InferenceRequest, identity: Identity) -> None:
        """Expect the answer to ``request``, to be shown under ``identity``."""
        self.meter = StreamMeter()
        self.usage: Usage | None = None
        """Sum over the prompts; None until the replica reported."""
        self.done = False
        """The answer is complete and ``[DONE]`` was handed out."""
        self.failure: UpstreamError | None = None
        """What broke the answer off after the events that `feed` returned last."""
        self._choices = request.choices
        self._request = request
        self._identity = identity
        self._reader = SseReader()
        self._begun = False
        """Events were handed out."""
        self.likeness: Likeness | None = None
        """By which the next event may be known, where all before it were whole; who takes one
        so adds it to the `meter`."""
        self._read = 0
        """Content events so far, at the last one that was read in full."""
        self._lessons = _MOST_LESSONS if self._choices == 1 else 0
        self._held = bytearray()
        self._finished: dict[int, str] = {}
        self._usage_payload: bytes | None = None
        """As it came, where only one did."""

    @property
    def started(self) -> bool:
        """Whether content has come: from here on there is no second attempt."""
        return self.meter.first_at is not None

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Why each finished choice ended, by index."""
        return tuple(self._finished[i] for i in sorted(self._finished))

    def feed(self, chunk: bytes, at: float) -> bytes:
        """Take bytes that arrived ``at``; return the events that may go to the client now.

        A failure after events that the client must still get is left in `failure`.

        Raises:
            UpstreamError: the replica reported a failure inside the stream.
            UpstreamProtocolError: it sent something that is no part of an answer.
        """
        payloads = self._reader.feed(chunk)
        if len(payloads) == 1 and self._begun and not self.done:  # nearly always
            return self._next(payloads[0], at)
        return self._events(payloads, at)

    @property
    def between_events(self) -> bool:
        """Whether what comes next begins an event."""
        return not self._reader.unfinished

    @property
    def next_number(self) -> int:
        """0: chunks have no ``sequence_number``."""
        return 0

    def closed(self) -> None:
        """Say that the replica ended its answer.

        Raises:
            UpstreamDisconnected: the answer was not complete.
        """
        if not self.done:
            tokens = self.meter.events
            raise UpstreamDisconnected(
                f"the replica's answer ended early, after {tokens} content events"
            )

    def _next(self, payload: bytes, at: float) -> bytes:
        unread = self.meter.events > self._read
        try:
            event, chunk = self._event(payload, at)
        except UpstreamError as failure:
            self.failure = failure
            return b""
        self._read = self.meter.events
        if unread:  # the likeness serves: this one was just another kind of event
            self._lessons = _MOST_LESSONS
        elif chunk is not None and self._lessons:
            self._lessons -= 1
            self.likeness = learn(b"data: %b\n\n" % payload, chunk, event) or self.likeness
        return event

    def _events(self, payloads: list[bytes], at: float) -> bytes:
        out: list[bytes] = []
        for payload in payloads:
            if self.done:  # trtllm-serve's main branch says [DONE] twice after an error
                break
            try:
                event, _ = self._event(payload, at)
            except UpstreamError as failure:
                if not self._begun:  # what came with it was seen by nobody: try elsewhere
                    raise
                self.failure = failure
                break
            if event:
                out.append(event)
        self._read = self.meter.events
        return b"".join(out) if self._begun else self._begin(out)

    def _event(self, payload: bytes, at: float) -> tuple[bytes, Chunk | None]:
        """Return what the client gets for one event, nothing for some, and what it says."""
        if payload == DONE:
            return self._finish(), None
        chunk = read(payload)
        if chunk.choices:
            for choice in chunk.choices:
                if not 0 <= choice.index < self._choices:
                    raise UpstreamProtocolError(
                        "the replica answered a choice that was not asked for"
                    )
                if has_content(choice):
                    self.meter.content(choice.index, at)
                if choice.finish_reason:
                    self._finished[choice.index] = choice.finish_reason
        elif chunk.usage is not None:
            return self._count(payload, chunk.usage), None
        return b"data: %b\n\n" % self._identity.of(payload), chunk

    def _begin(self, out: list[bytes]) -> bytes:
        self._held += b"".join(out)
        if not self.started and not self.done:
            if len(self._held) > MOST_HELD_BYTES:
                raise UpstreamProtocolError("the replica sent too much without any content")
            return b""
        self._begun = True
        held, self._held = bytes(self._held), bytearray()
        return held

    def _count(self, payload: bytes, usage: Usage) -> bytes:
        # One usage event for each prompt; the client gets their sum, once, before [DONE].
        only = self.usage is None
        self.usage = usage if self.usage is None else add(self.usage, usage)
        self._usage_payload = payload if only else None
        return b""

    def _finish(self) -> bytes:
        missing = self._choices - len(self._finished)
        if missing:
            raise UpstreamDisconnected(
                f"the replica ended its answer with {missing} of {self._choices} "
                "choices unfinished"
            )
        self.done = True
        return self._usage_event() + b"data: [DONE]\n\n"

    def _usage_event(self) -> bytes:
        if self.usage is None or not self._request.usage_wanted:
            return b""
        payload = self._usage_payload
        if payload is None:
            payload = b'{"choices":[],"usage":%b}' % msgspec.json.encode(self.usage)
        return b"data: " + self._identity.of(payload) + b"\n\n"
