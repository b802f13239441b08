"""Ids of stored responses: sticky to their replica, bound to the key that made them, stateless.

A replica keeps what it answered on ``/v1/responses`` in its own memory and gives it to whoever
asks: it knows no owners. So a client never gets the replica's id, but a sealed one that says
where the response is and that nobody but the gateway can make: a tag over key, replica and
upstream id (keyed BLAKE2b), and the last two hidden under a stream that the tag starts (the
construction of SIV, RFC 5297: the same response always has the same id). Every worker and
instance that shares the pepper reads it, after a restart too.

Rule: whatever is wrong with an id, the error is the same: it must not tell a guess that came
near from one that did not.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from backends.replica import ReplicaId
from gateway.core.errors import ResponseNotFound

_PREFIX = "resp_"
_SEALED = re.compile(r"resp_[A-Za-z0-9_-]{19,700}")
_TRTLLM_ID = re.compile(r"resp_[0-9a-f]{32}")
_TAG_BYTES = 12
_MOST_BYTES = 255
_BIND, _HIDE = b"trtgw-resp-bind", b"trtgw-resp-hide"
_PACKED, _AS_IT_IS = b"\0", b"\1"
_GONE = "there is no stored response with this id, or this key may not use it"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """Where a response is kept."""

    replica: ReplicaId
    upstream_id: str
    """What the replica calls it."""


def encode(stored: StoredResponse, *, key_id: str, pepper: bytes) -> str:
    """Return the id that the client with the key ``key_id`` gets: at most 120 characters.

    So for the ids of trtllm-serve and of the gateway's own replicas; with others it is longer.
    ``pepper`` may have at most 64 bytes.

    Raises:
        ValueError: one of the ids is over 255 bytes long.
    """
    replica, upstream = stored.replica.encode(), stored.upstream_id.encode()
    if max(len(replica), len(upstream)) > _MOST_BYTES:
        raise ValueError(f"an id of over {_MOST_BYTES} bytes")
    parts = (key_id.encode(), replica, upstream)
    bound = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    tag = blake2b(bound, key=pepper, person=_BIND, digest_size=_TAG_BYTES).digest()
    clear = bytes([len(replica)]) + replica + _packed(stored.upstream_id)
    sealed = tag + _under_stream(clear, tag, pepper)
    return _PREFIX + urlsafe_b64encode(sealed).rstrip(b"=").decode()


def decode(response_id: str, *, key_id: str, pepper: bytes) -> StoredResponse:
    """Return where the response is that ``encode`` gave this id.

    Raises:
        ResponseNotFound: this key was given no such id.
    """
    if _SEALED.fullmatch(response_id) is None:
        raise ResponseNotFound(_GONE)
    try:
        stored = _opened(response_id, pepper)
        # What was read is believed only if it gives the very same id again: that checks the
        # tag, and that there is no second spelling of it.
        again = encode(stored, key_id=key_id, pepper=pepper)
    except ValueError:  # garbage is no UTF-8, no base 64, or too long
        raise ResponseNotFound(_GONE) from None
    if not compare_digest(again, response_id):
        raise ResponseNotFound(_GONE)
    return stored


def _opened(response_id: str, pepper: bytes) -> StoredResponse:
    """Read an id without believing it."""
    text = response_id.removeprefix(_PREFIX)
    sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    tag = sealed[:_TAG_BYTES]
    clear = _under_stream(sealed[_TAG_BYTES:], tag, pepper)
    end = 1 + clear[0]
    return StoredResponse(ReplicaId(clear[1:end].decode()), _unpacked(clear[end:]))


def _packed(upstream_id: str) -> bytes:
    if _TRTLLM_ID.fullmatch(upstream_id):
        return _PACKED + bytes.fromhex(upstream_id.removeprefix(_PREFIX))
    return _AS_IT_IS + upstream_id.encode()


def _unpacked(data: bytes) -> str:
    if data[:1] == _PACKED:
        return _PREFIX + data[1:].hex()
    return data[1:].decode()


def _under_stream(data: bytes, tag: bytes, pepper: bytes) -> bytes:
    """Hide, or show again, ``data``."""
    stream = b"".join(
        blake2b(tag + bytes([block]), key=pepper, person=_HIDE).digest()
        for block in range(len(data) // 64 + 1)
    )
    return bytes(a ^ b for a, b in zip(data, stream, strict=False))
