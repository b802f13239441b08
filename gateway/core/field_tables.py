"""The tables of fields by operation: the one place where a field's rule is looked up."""

from collections.abc import Callable, Mapping

from gateway.core.fields import CHAT_FIELDS, COMPLETIONS_FIELDS, Field
from gateway.core.fields_relayed import EMBEDDINGS_FIELDS, MESSAGES_FIELDS, TOKENIZE_FIELDS
from gateway.core.fields_responses import OTHER_FIELD, RESPONSES_FIELDS, refuse_unserved

FIELDS: Mapping[str, Mapping[str, Field]] = {
    "chat": CHAT_FIELDS,
    "completions": COMPLETIONS_FIELDS,
    "responses": RESPONSES_FIELDS,
    "embeddings": EMBEDDINGS_FIELDS,
    "messages": MESSAGES_FIELDS,
    "tokenize": TOKENIZE_FIELDS,
}
"""By operation name, then by field name."""
_OTHERS: Mapping[str, Field] = {"responses": OTHER_FIELD, "messages": OTHER_FIELD}
"""Rule for fields that no table knows, of the operations that take such."""
CHECKS: Mapping[str, Callable[[Mapping[str, object]], None]] = {"responses": refuse_unserved}
"""What some operations ask of the values of their fields, beyond each one's type."""


def field_of(operation: str, name: str) -> Field | None:
    """Return the rule for the field ``name``; None where the operation takes no such field."""
    return FIELDS[operation].get(name) or _OTHERS.get(operation)
