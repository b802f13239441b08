"""Go on at another replica with a stream whose replica was lost: `resume: text`.

Rule: what went out stays, and what comes after it must be what any replica says after prompt
and text so far. So only requests whose every field keeps its meaning are continued, by tokens
that the replica counted itself; all others end in the error event. What is not promised: the
same words that the lost replica would have said, and the same tokens where text is cut into
them in more than one way.
"""

from collections.abc import Mapping

import msgspec
from typing_extensions import override

from gateway.core.chunks import Chunk, Identity
from gateway.core.errors import GatewayError, UpstreamDisconnected, UpstreamStalled
from gateway.core.operation import COMPLETIONS
from gateway.core.request import InferenceRequest
from gateway.core.splice import Edits
from gateway.core.stream import AnswerStream
from gateway.core.timing import StreamMeter
from gateway.core.usage import Usage

_KEPT = frozenset({
    "model", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
    "best_of", "user", "temperature", "top_p", "top_p_min", "top_k", "min_p", "logit_bias",
    "ignore_eos", "stop_token_ids",
    "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention",
})  # fmt: skip
"""Fields that mean the same of the rest of an answer as of all of it.

Not ``stop``, which may lie across the join; not penalties, which count only what was generated;
not ``seed``, whose draws begin anew.
"""
_QUOTE = b'"'


class Progress:
    """How far an answer that may be continued has come, over all its attempts."""

    __slots__ = ("finished", "meter", "prompt", "text", "tokens")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.text: list[str] = []
        """What the client was sent."""
        self.tokens: int | None = None
        """Generated for it, as replicas counted; None until they did, or where they do not."""
        self.prompt: Usage | None = None
        """What the first replica counted of the prompt."""
        self.finished = False
        """The client was told why the answer ended."""
        self.meter = StreamMeter()

    def left(self, request: InferenceRequest) -> int | None:
        """Return how many tokens may yet come; None for any number."""
        return None if request.max_tokens is None else request.max_tokens - (self.tokens or 0)


def resumable(request: InferenceRequest) -> bool:
    """Say whether another replica could go on with the answer to ``request``."""
    return (
        request.operation is COMPLETIONS
        and request.stream
        and request.choices == request.best_of == 1
        and not request.usage_everywhere  # running counts would begin anew
        and request.fields.keys() <= _KEPT
        and request.body.value("prompt")[:1] == _QUOTE  # token ids do not go on from text
    )


def may_go_on(request: InferenceRequest, progress: Progress, failure: GatewayError) -> bool:
    """Say whether the answer can be continued that broke off with ``failure``."""
    lost = type(failure) in {UpstreamDisconnected, UpstreamStalled}
    if not lost or progress.finished or not progress.text or progress.tokens is None:
        return False
    left = progress.left(request)
    return left is None or left > 0


def remaining(request: InferenceRequest, progress: Progress) -> InferenceRequest:
    """Return the request for the rest of the answer; its prompt is `longer_prompt`."""
    fields = {n: raw for n, raw in request.fields.items() if n not in request.operation.limits}
    return msgspec.structs.replace(request, fields=fields, max_tokens=progress.left(request))


def longer_prompt(request: InferenceRequest, progress: Progress) -> Edits:
    """Return the change that puts the answer so far at the end of the prompt."""
    said = msgspec.json.encode("".join(progress.text))
    return {"prompt": bytes(request.body.value("prompt")[:-1]) + said[1:]}


class ResumableStream(AnswerStream):
    """Reads one attempt's part of an answer that may be continued."""

    __slots__ = ("_before", "_new_text", "_new_tokens", "_progress", "_seen")

    def __init__(
        self, request: InferenceRequest, identity: Identity, progress: Progress
    ) -> None:
        """Go on from ``progress``, which grows as events are handed out."""
        super().__init__(request, identity)
        self.meter = progress.meter
        self._lessons = 0  # each event is read in full: its text and its count are needed
        self._progress = progress
        self._before = progress.tokens or 0
        self._seen = progress.meter.events
        self._new_text: list[str] = []
        self._new_tokens: int | None = None

    @property
    @override
    def started(self) -> bool:
        """Whether content of this attempt has come."""
        return self.meter.events > self._seen

    @override
    def feed(self, chunk: bytes, at: float) -> bytes:
        """See `AnswerStream.feed`; the first events after a join are marked."""
        joins = self._before > 0 and not self._begun
        events = super().feed(chunk, at)
        if not events:
            return events
        progress = self._progress
        progress.text += self._new_text
        progress.tokens = self._new_tokens
        progress.finished = bool(self._finished)
        self._new_text = []
        if joins:
            return b": x-trtgw-resumed after %d tokens\n\n%b" % (self._before, events)
        return events

    @override
    def _event(self, payload: bytes, at: float) -> tuple[bytes, Chunk | None]:
        event, chunk = super()._event(payload, at)
        if chunk is None or not chunk.choices:
            return event, chunk
        self._new_text.append(chunk.choices[0].text or "")
        usage = chunk.usage
        self._new_tokens = None
        if usage is not None and usage.completion_tokens is not None:
            self._new_tokens = self._before + usage.completion_tokens
            if not self._before:
                self._progress.prompt = usage
        return _without_usage(event), chunk

    @override
    def _count(self, payload: bytes, usage: Usage) -> bytes:
        prompt = self._progress.prompt
        if self._before and prompt is not None:
            usage = _joined(prompt, self._before + (usage.completion_tokens or 0))
            payload = b'{"choices":[],"usage":%b}' % msgspec.json.encode(usage)
        return super()._count(payload, usage)


def _joined(prompt: Usage, tokens: int) -> Usage:
    """Return the counts of the whole answer: the prompt's once, and all tokens."""
    return msgspec.structs.replace(
        prompt, completion_tokens=tokens, total_tokens=prompt.prompt_tokens + tokens
    )


def _without_usage(event: bytes) -> bytes:
    payload = event.removeprefix(b"data: ").removesuffix(b"\n\n")
    fields: Mapping[str, msgspec.Raw] = msgspec.json.decode(
        payload, type=dict[str, msgspec.Raw]
    )
    kept = {name: raw for name, raw in fields.items() if name != "usage"}
    return b"data: %b\n\n" % msgspec.json.encode(kept)
