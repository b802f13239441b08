"""The tables of fields by operation: the one place where a field's rule is looked up.

What is asked of every request is worked out of the tables here, once.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from gateway.core.fields import (
    CHAT_FIELDS,
    COMPLETIONS_FIELDS,
    DIALECTS,
    STRICT,
    Field,
    StreamOptions,
)
from gateway.core.fields_relayed import EMBEDDINGS_FIELDS, MESSAGES_FIELDS, TOKENIZE_FIELDS
from gateway.core.fields_responses import OTHER_FIELD, RESPONSES_FIELDS, refuse_unserved


def _never_null(table: Mapping[str, Field]) -> Mapping[str, Field]:
    # Which of these fields take null differs between releases; left out, it means the same.
    return {name: replace(field, nullable=False) for name, field in table.items()}


FIELDS: Mapping[str, Mapping[str, Field]] = {
    "chat": CHAT_FIELDS,
    "completions": COMPLETIONS_FIELDS,
    "responses": _never_null(RESPONSES_FIELDS),
    "embeddings": _never_null(EMBEDDINGS_FIELDS),
    "messages": _never_null(MESSAGES_FIELDS),
    "tokenize": _never_null(TOKENIZE_FIELDS),
}
"""By operation name, then by field name."""
OTHERS: Mapping[str, Field] = {"responses": OTHER_FIELD, "messages": OTHER_FIELD}
"""Rule for fields that no table knows, of the operations that take such."""
CHECKS: Mapping[str, Callable[[Any], None]] = {"responses": refuse_unserved}
"""What some operations ask of their `Values`, beyond each one's type."""


def field_of(operation: str, name: str) -> Field | None:
    """Return the rule for the field ``name``; None where the operation takes no such field."""
    return FIELDS[operation].get(name) or OTHERS.get(operation)


class Values(Protocol):
    """Those of a request's checked values that are looked at; None where not sent."""

    model: str | None
    stream: bool | None
    stream_options: StreamOptions | None
    n: int | None
    best_of: int | None
    seed: int | None
    messages: list[Any] | None
    """Of a chat alone."""


_LOOKED_AT = ("model", "stream", "stream_options", "n", "best_of", "seed", "messages")
_OFTEN = ("model", "messages", "max_tokens", "temperature", "top_p", "stream", "stream_options")


def _values(name: str, table: Mapping[str, Field]) -> type[msgspec.Struct]:
    # What is sent most is found soonest at the front.
    often = {key: table[key] for key in _OFTEN if key in table}
    fields = {**often, **table}.items()
    kinds = [(key, field.kind, None) for key, field in fields if field.kind is not Raw]
    lacking = {key: None for key in _LOOKED_AT if key not in table}
    return msgspec.defstruct(f"{name}_values", kinds, namespace=lacking, gc=False)


VALUES: Mapping[str, Any] = {name: _values(name, table) for name, table in FIELDS.items()}
"""By operation name: a struct for the values of all fields whose type is checked."""
DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(values, strict=STRICT) for name, values in VALUES.items()
}
"""Each decodes what its struct in `VALUES` holds, out of a whole body."""
SCOPED = {
    name: frozenset(key for key, field in table.items() if field.scoped)
    for name, table in FIELDS.items()
}
ACCEPTED = {
    name: tuple(
        frozenset(key for key, field in table.items() if field.since <= place)
        for place in range(len(DIALECTS))
    )
    for name, table in FIELDS.items()
}
"""By operation name and place in `DIALECTS`: the fields that replicas accept."""
COMMON = {
    name: frozenset(key for key, field in table.items() if not (field.since or field.scoped))
    for name, table in FIELDS.items()
}
"""By operation name: the fields that every key may send and every replica accepts."""
