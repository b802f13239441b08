"""The fields of endpoints that only new replicas have: embeddings, messages and tokenize."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Raw

from gateway.core.fields import NEVER, Count, Field, Missing, Positive, _field, _Named
from gateway.core.fields_responses import REACHING_IN

_MODEL = _field(Annotated[str, Meta(min_length=1, max_length=512)])
_SHARE = Annotated[float, Meta(ge=0, le=1)]

EMBEDDINGS_FIELDS: Mapping[str, Field] = {
    "model": _MODEL,
    "input": _field(Raw),
    "encoding_format": _field(Literal["float", "base64"]),
    "dimensions": _field(Positive),
    "add_special_tokens": _field(bool),
    "user": _field(str, NEVER, Missing.DROP),
    "safety_identifier": _field(str, NEVER, Missing.DROP),
}

MESSAGES_FIELDS: Mapping[str, Field] = {
    **REACHING_IN,
    "model": _MODEL,
    "messages": _field(list[_Named]),
    "max_tokens": _field(Positive),
    "system": _field(str | list[Raw]),
    "tools": _field(list[dict[str, Raw]]),
    "tool_choice": _field(dict[str, Raw]),
    "temperature": _field(_SHARE),
    "top_p": _field(_SHARE),
    "top_k": _field(Count),
    "stop_sequences": _field(list[str]),
    "stream": _field(bool),
    "metadata": _field(dict[str, Raw]),
    "thinking": _field(dict[str, Raw]),
    "output_config": _field(dict[str, Raw]),
    "context_management": _field(dict[str, Raw]),
    "betas": _field(list[str]),
    "service_tier": _field(str, NEVER, Missing.DROP),
    # Anthropic's servers would reach for these on the model's behalf; a replica cannot.
    "mcp_servers": _field(Raw, NEVER),
    "container": _field(Raw, NEVER),
}

TOKENIZE_FIELDS: Mapping[str, Field] = {
    "model": _MODEL,
    "prompt": _field(str),
    # vLLM's endpoint of this name has them; a replica knows a plain prompt and nothing else.
    "add_special_tokens": _field(bool, NEVER),
    "messages": _field(Raw, NEVER),
    "return_token_strs": _field(bool, NEVER),
}
