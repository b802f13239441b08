"""Read answers of OpenAI's Responses API: its events, and the response that is whole.

trtllm-serve ends a stream with ``response.completed`` whatever became of the answer, so the
response's own ``status`` is asked. The ids in a response are the replica's: the client gets
sealed ones (`core.response_id`), and its own name of the model.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.relabel import relabelled
from gateway.core.replies import ReplyNames, WholeReply, decoded, parsed
from gateway.core.typed_stream import TypedEvent
from gateway.core.usage import CompletionTokensDetails, PromptTokensDetails, Tokens, Usage

_NONE = Raw()
_NO_EVENT = "the replica sent an event that is no part of an answer"
_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILURES = frozenset({"response.failed", "response.cancelled", "error"})
_FINISHED = frozenset({"completed", "incomplete"})
_Number = Annotated[int, Meta(ge=0, le=2**53)]
"""The client may be sent the one after it, as a number that its own language knows."""


class ResponseUsage(msgspec.Struct):
    """Token counts in this API's words."""

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    total_tokens: Tokens = 0
    input_tokens_details: PromptTokensDetails | None = None
    output_tokens_details: CompletionTokensDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    """The parts of a response that the gateway looks at."""

    id: str
    status: str
    output: list[Raw] | None = None
    usage: ResponseUsage | None = None
    incomplete_details: _Incomplete | None = None
    previous_response_id: str | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    delta: Raw = _NONE
    response: Raw = _NONE
    sequence_number: _Number | None = None
    error: Any = None


class _Deleted(msgspec.Struct):
    id: str
    deleted: bool


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(Response)
_DELETED = msgspec.json.Decoder(_Deleted)
_EMPTY = (_NONE, Raw(b'""'), Raw(b"null"))


class ResponseEvents:
    """Reads the events of one streamed response."""

    def __init__(self, names: ReplyNames) -> None:
        """Show the response under ``names``."""
        self.usage: Usage | None = None
        self.finish_reasons: tuple[str, ...] = ()
        self._names = names

    def read(self, payload: bytes) -> TypedEvent:
        """Read one event.

        Raises:
            UpstreamError: it reports a failure.
            UpstreamProtocolError: it is no event of a response.
        """
        event = decoded(_EVENT, payload, _NO_EVENT)
        kind = event.type
        if event.error is not None or kind in _FAILURES:
            raise UpstreamError("the replica failed while it was answering")
        if kind is None:
            raise UpstreamProtocolError(_NO_EVENT)
        last = kind in _ENDS
        if event.response == _NONE and not last:
            content = kind.endswith(".delta") and event.delta not in _EMPTY
            return TypedEvent(kind, payload, content=content, number=event.sequence_number)
        response = parsed(_RESPONSE, event.response, _NO_EVENT)
        if last:
            self._finish(response)
        shown = shown_response(event.response, response, self._names)
        return TypedEvent(
            kind,
            relabelled(payload, {"response": shown}),
            last=last,
            number=event.sequence_number,
        )

    def _finish(self, response: Response) -> None:
        check_finished(response)
        self.usage = usage_of(response)
        self.finish_reasons = (finish_reason(response),)


def read_response(body: bytes, names: ReplyNames) -> WholeReply:
    """Check a response that was not streamed and return it with the client's ids and model.

    Raises:
        UpstreamError: it tells that it failed.
        UpstreamProtocolError: it is no response, or one that is not finished.
    """
    response = _whole(body)
    check_finished(response)
    shown = shown_response(body, response, names)
    return WholeReply(shown, (finish_reason(response),), usage_of(response))


def read_stored(body: bytes, names: ReplyNames) -> bytes:
    """Return a stored response, whatever became of it, with the client's ids and model.

    Raises:
        UpstreamProtocolError: it is no response.
    """
    return shown_response(body, _whole(body), names)


def read_deleted(body: bytes, names: ReplyNames) -> bytes:
    """Return the reply that a stored response was deleted, with the client's id.

    Raises:
        UpstreamProtocolError: the reply does not say that.
    """
    deleted = decoded(_DELETED, body)
    if not deleted.deleted:
        raise UpstreamProtocolError("the replica did not delete the response")
    return relabelled(body, {"id": names.response(deleted.id)})


def check_finished(response: Response) -> None:
    """Refuse a response without a regular end.

    Raises:
        UpstreamError: its ``status`` says that it failed, or was given up, or still goes on.
    """
    if response.status not in _FINISHED:
        raise UpstreamError("the replica did not finish its answer")


def finish_reason(response: Response) -> str:
    """Return why it ended: ``completed``, or what made it incomplete."""
    details = response.incomplete_details
    return (details.reason if details is not None else None) or response.status


def usage_of(response: Response) -> Usage | None:
    """Return its token counts; None where it has none, as before late trtllm-serve."""
    usage = response.usage
    if usage is None:
        return None
    return Usage(
        prompt_tokens=usage.input_tokens,
        total_tokens=usage.total_tokens,
        completion_tokens=usage.output_tokens,
        prompt_tokens_details=usage.input_tokens_details,
        completion_tokens_details=usage.output_tokens_details,
    )


def shown_response(text: bytes | Raw, response: Response, names: ReplyNames) -> bytes:
    """Return the JSON of ``response``, which is ``text``, as the client gets it.

    Raises:
        UpstreamProtocolError: its id is too long to be one.
    """
    changes = {"id": names.response(response.id), "model": names.model}
    if response.previous_response_id is not None:
        changes["previous_response_id"] = names.response(response.previous_response_id)
    return relabelled(text, changes)


def _whole(body: bytes) -> Response:
    response = decoded(_RESPONSE, body)
    if response.output is None:
        raise UpstreamProtocolError("the replica's reply is no response")
    return response
