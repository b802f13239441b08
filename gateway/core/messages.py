"""Read answers of Anthropic's Messages API, where the replica speaks it: events and whole ones.

The gateway relays them: it knows only the model's name, the counts, and how an answer ends.
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.relabel import relabelled
from gateway.core.replies import ReplyNames, WholeReply, decoded, parsed
from gateway.core.typed_stream import TypedEvent
from gateway.core.usage import PromptTokensDetails, Tokens, Usage

_NONE = Raw()
_NO_EVENT = "the replica sent an event that is no part of an answer"


class MessageUsage(msgspec.Struct):
    """Token counts in this API's words; cached ones are not among ``input_tokens``."""

    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_creation_input_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None


class Delta(msgspec.Struct):
    """What a ``content_block_delta`` or a ``message_delta`` adds."""

    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class Message(msgspec.Struct):
    """The parts of a message that the gateway looks at."""

    content: list[Raw]
    model: str
    stop_reason: str | None = None
    usage: MessageUsage | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    delta: Delta | None = None
    message: Raw = _NONE
    usage: MessageUsage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_MESSAGE = msgspec.json.Decoder(Message)


class MessageEvents:
    """Reads the events of one streamed message."""

    def __init__(self, names: ReplyNames) -> None:
        """Show the message under ``names``."""
        self.finish_reasons: tuple[str, ...] = ()
        self._names = names
        self._counted = MessageUsage()

    @property
    def usage(self) -> Usage | None:
        """The counts that came last."""
        return usage_of(self._counted)

    def read(self, payload: bytes) -> TypedEvent:
        """Read one event.

        Raises:
            UpstreamError: it reports a failure.
            UpstreamProtocolError: it is no event of a message.
        """
        event = decoded(_EVENT, payload, _NO_EVENT)
        if event.error is not None or event.type == "error":
            raise UpstreamError("the replica failed while it was answering")
        if event.type is None:
            raise UpstreamProtocolError(_NO_EVENT)
        self._count(event.usage)
        if event.delta is not None and event.delta.stop_reason is not None:
            self.finish_reasons = (event.delta.stop_reason,)
        if event.type == "message_start":
            message = parsed(_MESSAGE, event.message, _NO_EVENT)
            self._count(message.usage)
            shown = relabelled(event.message, {"model": self._names.model})
            payload = relabelled(payload, {"message": shown})
        return TypedEvent(
            event.type, payload, content=_adds(event.delta), last=event.type == "message_stop"
        )

    def _count(self, usage: MessageUsage | None) -> None:
        if usage is None:
            return
        for name in usage.__struct_fields__:
            value = getattr(usage, name)
            if value is not None:
                setattr(self._counted, name, value)


def read_message(body: bytes, names: ReplyNames) -> WholeReply:
    """Check a message that was not streamed and return it with the client's model.

    Raises:
        UpstreamProtocolError: it is no message, or one that is not finished.
    """
    message = decoded(_MESSAGE, body)
    if message.stop_reason is None:
        raise UpstreamProtocolError("the replica's answer is unfinished")
    usage = None if message.usage is None else usage_of(message.usage)
    return WholeReply(relabelled(body, {"model": names.model}), (message.stop_reason,), usage)


def usage_of(counted: MessageUsage) -> Usage | None:
    """Return the counts in the gateway's words; None where there are none."""
    if counted.input_tokens is None:
        return None
    cached = counted.cache_read_input_tokens
    prompt = counted.input_tokens + (cached or 0) + (counted.cache_creation_input_tokens or 0)
    return Usage(
        prompt_tokens=prompt,
        total_tokens=prompt + (counted.output_tokens or 0),
        completion_tokens=counted.output_tokens,
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached),
    )


def _adds(delta: Delta | None) -> bool:
    return delta is not None and bool(delta.text or delta.thinking or delta.partial_json)
