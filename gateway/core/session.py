"""Which session a request belongs to: what the several gateways and clients call it.

A session's requests begin alike, so routing sends them where their cache is. Rule: the value is
a client's own word, good for nothing but to be compared; it is never shown, logged or trusted.
"""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec
from msgspec import Raw

_HEADERS = (b"x-session-id", b"session-id", b"x-claude-code-session-id", b"x-correlation-id")
"""The first that says anything counts."""
_FIELD = "prompt_cache_key"
_LONGEST = 256
_TEXT = msgspec.json.Decoder(str)


def session_id(headers: Mapping[bytes, bytes], fields: Mapping[str, Raw]) -> bytes | None:
    """Return the request's session, at most 256 bytes; None where it names none.

    Args:
        headers: names in lower case.
        fields: of the body; ``prompt_cache_key`` counts where no header says anything.
    """
    for name in _HEADERS:
        value = headers.get(name, b"").strip()
        if value:
            return _short(value)
    raw = fields.get(_FIELD)
    return None if raw is None else _of_field(raw)


def _of_field(raw: Raw) -> bytes | None:
    try:
        value = _TEXT.decode(raw).strip()
    except msgspec.DecodeError:  # told by whoever checks the fields
        return None
    return _short(value.encode()) if value else None


def _short(value: bytes) -> bytes:
    return value if len(value) <= _LONGEST else blake2b(value, digest_size=32).digest()
