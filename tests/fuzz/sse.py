"""Reading a replica's event stream: chunks, and the typed events of two protocols.

The laws, whatever the bytes:

* The result is the same wherever they are cut.
* What goes out are whole events, which OpenAI's client decodes, under the client's own names.
* They are what the client would have decoded from the source, in order, to the value; if the
  answer is complete they are all of it, and the source says that it is complete.
* Only an `UpstreamError` comes out, and the error event that a client gets for it decodes too.
* Counts are such as metrics can add up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.core.answers import StreamReader, stream_reader
from gateway.core.error_shapes import event_of
from gateway.core.errors import UpstreamError
from gateway.core.operation import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Form
from gateway.core.request import InferenceRequest
from gateway.core.sse import SseReader
from gateway.core.usage import Usage
from tests.fuzz.sdk_decoder import Told, told
from tests.fuzz.streams import SEEDS, WORDS
from tests.fuzz.target import Target, splits
from tests.unit.core import typed_transcripts as typed
from tests.unit.core.transcripts import request

NAMES = {"id", "object", "created", "model"}
_MOST_COUNT = 2**53
_TAIL_BYTES = 64
_LAST = {
    Form.RESPONSE: {"response.completed", "response.incomplete"},
    Form.MESSAGE: {"message_stop"},
}


@dataclass(frozen=True)
class Asked:
    """A request whose answer is read."""

    request: InferenceRequest

    @property
    def form(self) -> Form:
        return self.request.operation.form

    def reader(self) -> StreamReader:
        return stream_reader(self.request, typed.NAMING, typed.REPLICA)


def _asked(body: bytes, operation: Any) -> Asked:
    return Asked(request(body, operation=operation))


_USAGE = b',"stream_options":{"include_usage":true}'
ASKED = (
    _asked(b'{"model":"m","prompt":"p","stream":true%b}' % _USAGE, COMPLETIONS),
    _asked(b'{"model":"m","prompt":["p","q"],"stream":true%b}' % _USAGE, COMPLETIONS),
    _asked(b'{"model":"m","messages":[{"role":"user"}],"stream":true}', CHAT),
    _asked(b'{"model":"m","input":"p","stream":true}', RESPONSES),
    _asked(
        b'{"model":"m","messages":[{"role":"user"}],"max_tokens":9,"stream":true}', MESSAGES
    ),
)


@dataclass
class Read:
    """What became of a stream."""

    shown: bytes
    ended: UpstreamError | None
    done: bool
    usage: Usage | None
    finish_reasons: tuple[str, ...]
    number: int


def one(data: bytes) -> None:
    """Read a stream: a byte says what was asked, one where to cut; the rest is the stream."""
    if len(data) < 2:
        return
    asked, source = ASKED[data[0] % len(ASKED)], data[2:]
    whole = read(asked.reader, [source])
    for parts in splits(source, data[1]):
        _same(whole, read(asked.reader, parts))
        _bounded(parts)
    shown = told(whole.shown)
    _decodes(asked, whole, shown)
    _true(asked, whole, shown, told(source, generous=True))


def read(reader: Callable[[], StreamReader], parts: Iterable[bytes]) -> Read:
    """Read a stream as the relay does: until it is done, broken off, or over."""
    stream, shown, ended = reader(), b"", None
    try:
        for part in parts:
            shown += stream.feed(part, 0.0)
            if stream.failure is not None:
                raise stream.failure
            if stream.done:
                break
        stream.closed()
    except UpstreamError as failure:
        ended = failure
    assert bool(ended) is not stream.done
    assert stream.started or stream.done or not shown, "something went out before any content"
    return Read(
        shown, ended, stream.done, stream.usage, stream.finish_reasons, stream.next_number
    )


def _same(whole: Read, parts: Read) -> None:
    """A failure in the bytes that brought the first content was seen by nobody else."""
    assert (type(whole.ended), str(whole.ended)) == (type(parts.ended), str(parts.ended))
    unseen = whole.ended is not None and not whole.shown
    assert unseen or parts.shown == whole.shown
    assert parts.usage == whole.usage
    assert parts.finish_reasons == whole.finish_reasons
    _countable(whole.usage)


def _countable(usage: Usage | None) -> None:
    if usage is not None:
        counts = (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.total_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
        )
        assert all(0 <= (count or 0) <= 4 * _MOST_COUNT for count in counts)


def _bounded(parts: list[bytes]) -> None:
    """A reader keeps no more than the longest event that it takes, and says so."""
    reader = SseReader(max_event=_TAIL_BYTES)
    for part in parts:
        try:
            reader.feed(part)
        except UpstreamError:
            return
        assert sum(map(len, reader._tail)) == reader._size <= _TAIL_BYTES


def _decodes(asked: Asked, whole: Read, shown: Told) -> None:
    """What goes out is understood by the client, to its end."""
    assert shown.broken is None, f"the client gets what it cannot read: {shown.broken}"
    chunks = asked.form is Form.CHOICES
    assert shown.done == (whole.done and chunks)
    assert not whole.done or not chunks or whole.shown.endswith(b"data: [DONE]\n\n")
    assert whole.shown.endswith(b"\n\n") or not whole.shown
    for name, event in zip(shown.names, shown.events, strict=True):
        assert name == (None if chunks else event["type"])
    if whole.ended is not None:
        last = event_of(whole.ended, asked.request.operation.errors, whole.number)
        after = told(whole.shown + last)
        assert after.broken is None
        assert after.events[:-1] == shown.events
        assert "error" in after.events[-1]


def _true(asked: Asked, whole: Read, shown: Told, source: Told) -> None:
    """What goes out is what the client would have understood of the source."""
    if isinstance(source.broken, RecursionError):
        return  # deeper than the judge can read
    said = [_bare(event) for event in source.events if not _is_usage(asked, event)]
    given = [_bare(event) for event in shown.events if not _is_usage(asked, event)]
    assert given == said[: len(given)], "the client is told something else"
    if not whole.done:
        return
    if asked.form is not Form.CHOICES:
        assert shown.events[-1]["type"] in _LAST[asked.form]
        return
    assert source.broken is None, f"the source is broken: {source.broken}"
    assert source.done, "the source has no end"
    assert given == said, "the client is told less"
    _all_finished(asked, source.events)
    _all_counted(asked, shown, source)


def _bare(event: Any) -> Any:
    """Return an event without the names that are the gateway's to give."""
    if not isinstance(event, dict):
        return event
    inner = {"id", "model", "previous_response_id"}
    bare = {key: value for key, value in event.items() if key not in NAMES}
    for key in ("response", "message"):
        if isinstance(bare.get(key), dict):
            bare[key] = {k: v for k, v in bare[key].items() if k not in inner}
    return bare


def _is_usage(asked: Asked, event: Any) -> bool:
    return (
        asked.form is Form.CHOICES
        and isinstance(event, dict)
        and event.get("choices") == []
        and event.get("usage") is not None
    )


def _all_finished(asked: Asked, events: list[Any]) -> None:
    choices = [choice for event in events for choice in event["choices"]]
    finished = {c.get("index", 0) for c in choices if c.get("finish_reason")}
    assert finished == set(range(asked.request.choices)), "a choice has no end"


def _all_counted(asked: Asked, shown: Told, source: Told) -> None:
    counted = [event["usage"] for event in source.events if _is_usage(asked, event)]
    given = [event["usage"] for event in shown.events if _is_usage(asked, event)]
    if not counted or not asked.request.usage_wanted:
        assert given == []
        return
    assert len(given) == 1
    for name in ("prompt_tokens", "total_tokens"):
        total = sum(each.get(name, 0) for each in counted)
        assert given[0].get(name, 0) == total


TARGET = Target("sse", one, SEEDS, WORDS)
