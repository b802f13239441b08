"""Blot out secrets in what is logged: the second net, below the rule not to log them.

Rule: it may blot out too much and must never change what it does not know; it is no licence to
log headers or bodies.
"""

import re
from collections.abc import Mapping

REDACTED = "[redacted]"

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;)\]}]+"), rf"\1 {REDACTED}"),
    (re.compile(r"\b(?:sk|nvapi|hf)[-_][A-Za-z0-9_-]{6,}"), REDACTED),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@"), rf"\1:{REDACTED}@"),
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization|(?:x-)?api[-_]?key|(?:set-)?cookie|password"
            r"|secret|[a-z_-]*[-_]token|token(?==))(['\"]?\s*[:=,]\s*b?['\"]?)[^\s\"',;&]+"
        ),
        rf"\1\2{REDACTED}",
    ),
)
_SECRET_NAME = re.compile(
    r"(?i)(authorization|api[-_]?key|cookie|password|secret|(^|[-_])token$)"
)


def redact(text: str) -> str:
    """Return ``text`` without what looks like a secret in it."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """Return ``fields`` without secrets: by a field's name, and in each text."""
    return {
        name: REDACTED if _SECRET_NAME.search(name) else _redact_value(value)
        for name, value in fields.items()
    }


def _redact_value(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Mapping):
        return redact_fields({str(name): inner for name, inner in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(inner) for inner in value]
    return redact(str(value))
