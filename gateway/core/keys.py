"""API keys and admin tokens as digests: what a secret may look like, and how it is recognised.

No secret is ever compared with another: it is hashed once and its digest is looked up. Without
the pepper, which stays on this host, digests give nothing away, so a plain lookup will do.
"""

from hashlib import blake2b

MIN_LENGTH = 20
MAX_LENGTH = 128
PEPPER_BYTES = 32
_FIRST_VISIBLE, _LAST_VISIBLE = "!", "~"


def digest_key(secret: bytes, pepper: bytes) -> str:
    """Return the hex digest that stands for ``secret``.

    BLAKE2b keyed by ``pepper``, which may have at most 64 bytes.
    """
    return blake2b(secret, digest_size=32, key=pepper).hexdigest()


def secret_problem(secret: str) -> str | None:
    """Say why ``secret`` cannot be a key or a token, without showing it; None if it can."""
    if not secret:
        return "is empty"
    odd = next(
        (i for i, c in enumerate(secret) if not _FIRST_VISIBLE <= c <= _LAST_VISIBLE), None
    )
    if odd is not None:
        return f"must be visible ASCII without spaces; character {odd + 1} is something else"
    if not MIN_LENGTH <= len(secret) <= MAX_LENGTH:
        return f"must have {MIN_LENGTH} to {MAX_LENGTH} characters, not {len(secret)}"
    return None
