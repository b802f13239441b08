"""TensorRT-LLM's ``v1_block_key``: the hash that names a KV block in its events.

A block's hash covers its own tokens and, through its parent's hash, every token before them.
Readers of the events compute it from a prompt by themselves, so its values may not drift.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

_U32 = 0xFFFF_FFFF
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def hash_block(tokens: Sequence[int], parent: int = 0) -> int:
    """Return a block's 64-bit hash; ``parent`` is that of the block before, 0 at the start."""
    seed = len(tokens) ^ (parent * 0xBF58_476D_1CE4_E5B9 & _U64)
    for token in tokens:
        seed ^= (_mix(token) + (seed << 6) + (seed >> 2)) & _U64
    return seed


def hash_salt(salt: str) -> int:
    """Return the parent of the first block of a salted prompt.

    Ours alone: what TensorRT-LLM does with a salt cannot be reproduced from outside.
    """
    if not salt:
        return 0
    return int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest())


@lru_cache(maxsize=1 << 17)  # a vocabulary's worth: prompts repeat few of the tokens there are
def _mix(token: int) -> int:
    mixed = token & _U32
    for _ in range(2):
        mixed = ((mixed >> 16) ^ mixed) * 0x045D_9F3B & _U32
    mixed = (mixed >> 16) ^ mixed
    return mixed + 0x9E37_79B9 & _U32
