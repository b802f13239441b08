"""Whole replies: all nulls are present, ids are random, and the key order is the server's."""

from collections.abc import Sequence
from dataclasses import dataclass

from backends.simulator.chat import ToolCall
from backends.simulator.dialects import Dialect
from backends.simulator.frames import Ending, Usage, encode


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished sequence."""

    index: int
    text: str
    ending: Ending
    per_iter: float
    reasoning: str = ""
    token_ids: Sequence[int] | None = None
    logprobs: dict[str, object] | None = None
    call: tuple[str, ToolCall] | None = None
    """Id and content of a parsed tool call."""


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What a whole reply says of itself."""

    id: str
    """32 hexadecimal digits."""
    created: int
    model: str


def completion_body(
    head: ReplyHead, choices: Sequence[Choice], usage: Usage, dialect: Dialect, *, many: bool
) -> bytes:
    """Render a reply of ``/v1/completions``; ``many`` when there were several prompts."""
    rendered = [_completion_choice(c, dialect) for c in choices]
    return _body(
        head, ("cmpl-", "text_completion"), rendered, usage, dialect, [] if many else None
    )


def chat_body(
    head: ReplyHead, choices: Sequence[Choice], usage: Usage, dialect: Dialect
) -> bytes:
    """Render a reply of ``/v1/chat/completions``."""
    rendered = [_chat_choice(c, dialect) for c in choices]
    return _body(head, ("chatcmpl-", "chat.completion"), rendered, usage, dialect, None)


def _body(
    head: ReplyHead,
    kind: tuple[str, str],
    choices: list[dict[str, object]],
    usage: Usage,
    dialect: Dialect,
    prompt_ids: list[int] | None,
) -> bytes:
    return encode(
        {
            "id": kind[0] + head.id,
            "object": kind[1],
            "created": head.created,
            "model": head.model,
            "choices": choices,
            "usage": usage.fields(dialect),
            "prompt_token_ids": prompt_ids,
        }
    )


def _completion_choice(choice: Choice, dialect: Dialect) -> dict[str, object]:
    fields: dict[str, object] = {
        "index": choice.index,
        "text": choice.text,
        "token_ids": choice.token_ids,
        "logprobs": choice.logprobs,
        "context_logits": None,
        "finish_reason": choice.ending.finish_reason,
        "stop_reason": choice.ending.stop_reason,
        "disaggregated_params": None,
    }
    if dialect.decoded_per_iter:
        fields["avg_decoded_tokens_per_iter"] = choice.per_iter
    return fields


def _chat_choice(choice: Choice, dialect: Dialect) -> dict[str, object]:
    fields: dict[str, object] = {
        "index": choice.index,
        "message": _message(choice, dialect),
        "logprobs": choice.logprobs,
        "finish_reason": choice.ending.finish_reason,
        "stop_reason": choice.ending.stop_reason,
    }
    if dialect.rich_message:
        fields["mm_embedding_handle"] = None
    fields["disaggregated_params"] = None
    if dialect.decoded_per_iter:
        fields["avg_decoded_tokens_per_iter"] = choice.per_iter
    return fields


def _message(choice: Choice, dialect: Dialect) -> dict[str, object]:
    without = "" if dialect.reasoning_always else None
    message: dict[str, object] = {
        "role": "assistant",
        "content": "" if choice.call else choice.text,
        "reasoning_content": choice.reasoning or without,
    }
    if dialect.rich_message:
        message["reasoning"] = None
    message["tool_calls"] = [_tool_call(*choice.call)] if choice.call else []
    return message


def _tool_call(call_id: str, call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call_id, "type": "function", "function": function}
