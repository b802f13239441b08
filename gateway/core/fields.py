"""Every field that a client may send: its type, and which trtllm-serve accepts it.

trtllm-serve refuses a request for one field that it does not know, and no two releases know the
same.
So the rule for each field is data, here and nowhere else:

* ``since``   first dialect that accepts it (index into `DIALECTS`); `NEVER` where none does.
* ``missing`` what the gateway does for a replica of an older dialect: leave the field out (it
  changes nothing about the answer), or refuse the request (leaving it out would change the
  answer).
* ``nullable`` whether null is a value of it to trtllm-serve too; it is in every release or in
  none. Where it is not, null is taken for what OpenAI means by it: not given.
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

STRICT = False
"""trtllm-serve's own reader (pydantic) takes "5" for 5 as well."""

DIALECTS = ("1.0", "1.1", "1.2", "main")
NEVER = len(DIALECTS)


class Missing(StrEnum):
    """What to do with a field that the replica's dialect does not know."""

    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Field:
    """The rule for one field; see the module."""

    kind: Any
    """Type of its values, null included."""
    decoder: msgspec.json.Decoder[Any]
    since: int = 0
    missing: Missing = Missing.REFUSE
    nullable: bool = True
    scoped: bool = False


class StreamOptions(msgspec.Struct):
    """``stream_options``; others that OpenAI knows (``include_obfuscation``) are left out."""

    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class _Object(msgspec.Struct, gc=False):
    """Any object: what is in it is the replica's to judge."""


class _Named(msgspec.Struct, gc=False):
    role: str


class _Typed(msgspec.Struct, gc=False):
    type: str


_MOST = 3.4e38
"""What a replica's own numbers hold; without bounds "nan" and "inf" would be numbers too."""

MOST_SEED = 2**64 - 1
"""A replica's own are not negative; bounds of msgspec's end at 2**63 - 1."""

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
AtMost = Annotated[int, Meta(ge=1, le=2**63 - 1)]
"""A limit that a replica lowers to what it has room for, however high it is."""
Finite = Annotated[float, Meta(ge=-_MOST, le=_MOST)]
Share = Annotated[float, Meta(ge=0, le=1)]


def _field(
    kind: Any,  # noqa: ANN401 - a type expression
    since: int = 0,
    missing: Missing = Missing.REFUSE,
    *,
    nullable: bool = True,
    scoped: bool = False,
) -> Field:
    kind = kind if kind is Raw else kind | None
    decoder = msgspec.json.Decoder(kind, strict=STRICT)
    return Field(kind, decoder, since, missing, nullable, scoped)


def _never_null(kind: Any) -> Field:  # noqa: ANN401 - a type expression
    """Return a field that always has a value."""
    return _field(kind, nullable=False)


_SHARED: Mapping[str, Field] = {
    "model": _never_null(Annotated[str, Meta(min_length=1, max_length=512)]),
    "frequency_penalty": _field(Finite),
    "presence_penalty": _field(Finite),
    "logit_bias": _field(_Object),
    "max_tokens": _field(AtMost),
    "n": _never_null(Positive),
    "best_of": _field(Positive),
    "seed": _field(Annotated[int, Meta(ge=-(2**63))]),
    "stop": _field(str | list[str]),
    "stream": _field(bool),
    "stream_options": _field(StreamOptions),
    "temperature": _field(Annotated[float, Meta(ge=0, le=_MOST)]),
    "top_p": _field(Annotated[float, Meta(gt=0, le=1)]),
    "user": _field(str),
    "response_format": _field(_Typed),
    "echo": _field(bool),
    "use_beam_search": _never_null(bool),
    "top_k": _never_null(Count),
    "top_p_min": _never_null(Share),
    "min_p": _never_null(Share),
    "repetition_penalty": _never_null(Annotated[float, Meta(gt=0, le=_MOST)]),
    "length_penalty": _never_null(Finite),
    "early_stopping": _never_null(bool | int | str),
    "stop_token_ids": _field(list[Count]),
    "include_stop_str_in_output": _never_null(bool),
    "ignore_eos": _never_null(bool),
    "min_tokens": _never_null(Count),
    "skip_special_tokens": _never_null(bool),
    "spaces_between_special_tokens": _never_null(bool),
    "truncate_prompt_tokens": _field(AtMost),
    "detokenize": _never_null(bool),
    "add_special_tokens": _never_null(bool),
    "prompt_ignore_length": _field(Count, since=2),
    "lora_request": _field(_Object, scoped=True),
    "disaggregated_params": _field(_Object, scoped=True),
    "priority": _field(Share, since=3),
    "conversation_params": _field(_Object, since=3),
    "thinking_token_budget": _field(Count, since=3),
    # What OpenAI takes and no trtllm-serve does, and which says nothing about the answer
    # itself.
    "store": _field(bool, NEVER, Missing.DROP),
    "metadata": _field(_Object, NEVER, Missing.DROP),
    "service_tier": _field(str, NEVER, Missing.DROP),
    "safety_identifier": _field(str, NEVER, Missing.DROP),
    "prompt_cache_key": _field(str, NEVER, Missing.DROP),
    "prompt_cache_retention": _field(str, NEVER, Missing.DROP),
    "prediction": _field(Raw, NEVER, Missing.DROP),
}

COMPLETIONS_FIELDS: Mapping[str, Field] = {
    **_SHARED,
    "prompt": _never_null(Raw),
    # Goes out as max_tokens.
    "max_completion_tokens": _field(AtMost, NEVER, Missing.DROP),
    "logprobs": _field(Annotated[int, Meta(ge=0, le=100)]),
    "suffix": _field(str),
    "return_context_logits": _never_null(bool),
}

CHAT_FIELDS: Mapping[str, Field] = {
    **_SHARED,
    "messages": _never_null(list[_Named]),
    "prompt_token_ids": _field(Raw),
    "prompt_token_ids_b64": _field(str, since=3),
    "max_completion_tokens": _field(AtMost),
    "logprobs": _field(bool | int),
    "top_logprobs": _field(Annotated[int, Meta(ge=0, le=100)]),
    "tools": _field(list[_Object]),
    "tool_choice": _field(str | _Object),
    "parallel_tool_calls": _field(bool, 3, Missing.DROP),
    "reasoning_effort": _field(str, 1, Missing.DROP),
    "add_generation_prompt": _never_null(bool),
    "documents": _field(list[_Object], scoped=True),
    "chat_template": _field(str, scoped=True),
    "chat_template_kwargs": _field(_Object, scoped=True),
    # Set by the gateway alone (`gateway.core.salting`).
    "cache_salt": _field(str, NEVER, Missing.DROP),
    "agent_hierarchy": _field(Raw, since=3, scoped=True),
    "mm_processor_kwargs": _field(_Object, since=3),
    "media_io_kwargs": _field(_Object, since=3),
    "thinking": _field(Raw, since=3),
    "verbosity": _field(str, NEVER, Missing.DROP),
    # These change what is answered: to leave them out would be to lie.
    "modalities": _field(list[str], NEVER),
    "audio": _field(_Object, NEVER),
    "web_search_options": _field(_Object, NEVER),
    "functions": _field(Raw, NEVER),
    "function_call": _field(Raw, NEVER),
}
