"""The fields of ``/v1/responses``, as `core.fields` has those of the older endpoints.

trtllm-serve takes unknown fields here on its main branch and ignores them, and refuses them
before: so one that is not in the table is passed on there and left out for older replicas.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Raw

from gateway.core.errors import UnsupportedByReplica
from gateway.core.fields import (
    NEVER,
    Count,
    Field,
    Missing,
    Positive,
    StreamOptions,
    _field,
    _Typed,
)

_MAIN = 3

OTHER_FIELD = _field(Raw, _MAIN, Missing.DROP)
"""The rule for a field that no table knows, where the endpoint takes such."""

REACHING_IN: Mapping[str, Field] = {
    "chat_template": _field(str, _MAIN, scoped=True),
    "chat_template_kwargs": _field(dict[str, Raw], _MAIN, scoped=True),
    "documents": _field(list[dict[str, Raw]], _MAIN, scoped=True),
    "lora_request": _field(dict[str, Raw], _MAIN, scoped=True),
    "disaggregated_params": _field(dict[str, Raw], _MAIN, scoped=True),
    "agent_hierarchy": _field(Raw, _MAIN, scoped=True),
    "conversation_params": _field(dict[str, Raw], _MAIN),
    "cache_salt": _field(str, NEVER, Missing.DROP),
    "injected_chat_template_kwargs": _field(Raw, NEVER, Missing.DROP),
    "prompt_token_ids_b64": _field(Raw, NEVER, Missing.DROP),
}
"""What reaches into the replica itself, on endpoints that take fields they do not know."""

RESPONSES_FIELDS: Mapping[str, Field] = {
    **REACHING_IN,
    "model": _field(Annotated[str, Meta(min_length=1, max_length=512)]),
    "input": _field(str | list[Raw]),
    "instructions": _field(str),
    "previous_response_id": _field(str),
    "max_output_tokens": _field(Positive),
    "max_tool_calls": _field(Positive),
    "temperature": _field(Annotated[float, Meta(ge=0, le=100)]),
    "top_p": _field(Annotated[float, Meta(gt=0, le=1)]),
    "top_logprobs": _field(Annotated[int, Meta(ge=0, le=100)]),
    "thinking_token_budget": _field(Count, _MAIN),
    "stream": _field(bool),
    "stream_options": _field(StreamOptions, NEVER, Missing.DROP),
    "store": _field(bool),
    "metadata": _field(dict[str, Raw]),
    "include": _field(list[str]),
    "reasoning": _field(dict[str, Raw]),
    "text": _field(dict[str, Raw]),
    "tools": _field(list[_Typed]),
    "tool_choice": _field(str | dict[str, Raw]),
    "parallel_tool_calls": _field(bool),
    "truncation": _field(Literal["auto", "disabled"]),
    "user": _field(str),
    "background": _field(bool, NEVER, Missing.DROP),  # true is refused: `refuse_unserved`
    # What says nothing about the answer itself.
    "service_tier": _field(str, NEVER, Missing.DROP),
    "safety_identifier": _field(str, NEVER, Missing.DROP),
    "prompt_cache_key": _field(str, NEVER, Missing.DROP),
    "prompt_cache_retention": _field(str, NEVER, Missing.DROP),
    "prompt_cache_options": _field(dict[str, Raw], NEVER, Missing.DROP),
    "background_options": _field(dict[str, Raw], NEVER, Missing.DROP),
    # To trtllm-serve it is the id under which the answer is stored: who could choose it could
    # write over another's.
    "request_id": _field(Raw, NEVER, Missing.DROP),
    # These change what is answered: to leave them out would be to lie.
    "conversation": _field(Raw, NEVER),
    "prompt": _field(Raw, NEVER),
    "context_management": _field(Raw, NEVER),
    "moderation": _field(Raw, NEVER),
}


class Unserved(Protocol):
    """The values that are looked at."""

    background: bool | None


def refuse_unserved(values: Unserved) -> None:
    """Refuse a request for what no trtllm-serve does although it takes the field.

    Raises:
        UnsupportedByReplica: it is to run in the background; trtllm-serve would run it in the
        foreground without a word.
    """
    if values.background:
        raise UnsupportedByReplica(
            'field "background" must be false: replicas answer in the foreground only',
            param="background",
        )
