"""Every field that a client may send: its type, and which trtllm-serve accepts it.

trtllm-serve refuses a request for one field that it does not know, and no two releases know the
same.
So the rule for each field is data, here and nowhere else:

* ``since``   first dialect that accepts it (index into `DIALECTS`); `NEVER` where none does.
* ``missing`` what the gateway does for a replica of an older dialect: leave the field out (it
  changes nothing about the answer), or refuse the request (leaving it out would change the
  answer).
* ``scoped``  only keys that were given the field may send it: it reaches into the replica
  itself.

A field that is not in the table is a mistake of the client's and named to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

DIALECTS = ("1.0", "1.1", "1.2", "main")
NEVER = len(DIALECTS)


class Missing(StrEnum):
    """What to do with a field that the replica's dialect does not know."""

    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Field:
    """The rule for one field; see the module."""

    decoder: msgspec.json.Decoder[Any]
    since: int = 0
    missing: Missing = Missing.REFUSE
    scoped: bool = False


class StreamOptions(msgspec.Struct):
    """``stream_options``; others that OpenAI knows (``include_obfuscation``) are left out."""

    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class _Named(msgspec.Struct):
    role: str


class _Typed(msgspec.Struct):
    type: str


Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Word = Annotated[str, Meta(min_length=1)]


def _field(
    kind: Any,  # noqa: ANN401 - a type expression
    since: int = 0,
    missing: Missing = Missing.REFUSE,
    *,
    scoped: bool = False,
) -> Field:
    # Not strict: trtllm-serve's own reader (pydantic) takes "5" for 5 as well.
    kind = kind if kind is Raw else kind | None
    return Field(msgspec.json.Decoder(kind, strict=False), since, missing, scoped)


_SHARED: Mapping[str, Field] = {
    "model": _field(Annotated[str, Meta(min_length=1, max_length=512)]),
    "frequency_penalty": _field(Penalty),
    "presence_penalty": _field(Penalty),
    "logit_bias": _field(dict[str, Annotated[float, Meta(ge=-100, le=100)]]),
    "max_tokens": _field(Positive),
    "n": _field(Positive),
    "best_of": _field(Positive),
    "seed": _field(Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]),
    "stop": _field(str | list[str]),
    "stream": _field(bool),
    "stream_options": _field(StreamOptions),
    "temperature": _field(Annotated[float, Meta(ge=0, le=100)]),
    "top_p": _field(Annotated[float, Meta(gt=0, le=1)]),
    "user": _field(str),
    "response_format": _field(_Typed),
    "use_beam_search": _field(bool),
    "top_k": _field(Count),
    "top_p_min": _field(Annotated[float, Meta(ge=0, le=1)]),
    "min_p": _field(Annotated[float, Meta(ge=0, le=1)]),
    "repetition_penalty": _field(Annotated[float, Meta(gt=0, le=100)]),
    # A float without bounds would let "nan" through.
    "length_penalty": _field(Annotated[float, Meta(ge=-100, le=100)]),
    "early_stopping": _field(bool | int),
    "stop_token_ids": _field(list[Count]),
    "include_stop_str_in_output": _field(bool),
    "ignore_eos": _field(bool),
    "min_tokens": _field(Count),
    "skip_special_tokens": _field(bool),
    "spaces_between_special_tokens": _field(bool),
    "truncate_prompt_tokens": _field(Positive),
    "add_special_tokens": _field(bool),
    "prompt_ignore_length": _field(Count, since=2),
    "lora_request": _field(dict[str, Raw], scoped=True),
    "disaggregated_params": _field(dict[str, Raw], scoped=True),
    "priority": _field(Annotated[float, Meta(ge=0, le=1)], since=3),
    "conversation_params": _field(dict[str, Raw], since=3),
    "thinking_token_budget": _field(Count, since=3),
    # What OpenAI takes and no trtllm-serve does, and which says nothing about the answer
    # itself.
    "store": _field(bool, NEVER, Missing.DROP),
    "metadata": _field(dict[str, Raw], NEVER, Missing.DROP),
    "service_tier": _field(str, NEVER, Missing.DROP),
    "safety_identifier": _field(str, NEVER, Missing.DROP),
    "prompt_cache_key": _field(str, NEVER, Missing.DROP),
    "prompt_cache_retention": _field(str, NEVER, Missing.DROP),
    "prediction": _field(Raw, NEVER, Missing.DROP),
}

COMPLETIONS_FIELDS: Mapping[str, Field] = {
    **_SHARED,
    "prompt": _field(Raw),
    "max_completion_tokens": _field(Positive, NEVER, Missing.DROP),  # goes out as max_tokens
    "echo": _field(bool),
    "logprobs": _field(Annotated[int, Meta(ge=0, le=100)]),
    "suffix": _field(str),
    "return_context_logits": _field(bool),
    "detokenize": _field(bool),
}

CHAT_FIELDS: Mapping[str, Field] = {
    **_SHARED,
    "messages": _field(list[_Named]),
    "max_completion_tokens": _field(Positive),
    "prompt_token_ids": _field(Raw),
    "prompt_token_ids_b64": _field(str, since=3),
    "logprobs": _field(bool | int),
    "top_logprobs": _field(Annotated[int, Meta(ge=0, le=100)]),
    "tools": _field(list[_Typed]),
    "tool_choice": _field(str | dict[str, Raw]),
    "parallel_tool_calls": _field(bool, 3, Missing.DROP),
    "reasoning_effort": _field(str, 1, Missing.DROP),
    "echo": _field(bool),
    "add_generation_prompt": _field(bool),
    "detokenize": _field(bool),
    "documents": _field(list[dict[str, Raw]], scoped=True),
    "chat_template": _field(str, scoped=True),
    "chat_template_kwargs": _field(dict[str, Raw], scoped=True),
    # Set by the gateway alone: a client that could choose it could read another's cache by its
    # timing.
    "cache_salt": _field(str, NEVER, Missing.DROP),
    "agent_hierarchy": _field(Raw, since=3, scoped=True),
    "mm_processor_kwargs": _field(dict[str, Raw], since=3),
    "media_io_kwargs": _field(dict[str, Raw], since=3),
    "thinking": _field(Raw, since=3),
    "verbosity": _field(str, NEVER, Missing.DROP),
    # These change what is answered: to leave them out would be to lie.
    "modalities": _field(list[str], NEVER),
    "audio": _field(dict[str, Raw], NEVER),
    "web_search_options": _field(dict[str, Raw], NEVER),
    "functions": _field(list[Raw], NEVER),
    "function_call": _field(Raw, NEVER),
}
