"""Whether a model fits: weights, KV cache and working memory of one GPU, in bytes and tokens.

An estimate before the first start, on the careful side; every term is kept so that a person can
follow the sum. Tokens are those of one GPU's cache: with attention data parallelism each rank
has its own, else all ranks hold a share of the same.
"""

from dataclasses import dataclass

from backends.gpus import GIB
from backends.recipes import Shape

_OVERHEAD_BYTES = 4 * GIB
_PARALLEL_BYTES = 2 * GIB
"""NCCL's buffers and the copies that tensor parallelism needs."""
_FREE_BATCH_TOKENS = 8192
"""`max_num_tokens` whose activations the overhead covers; 1 GiB for each as many more."""
TIGHT_REQUESTS = 32
"""Fewer requests than this at once is no throughput worth the GPU."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the memory is needed for."""

    weights_bytes: float
    """Whole model."""
    shape: Shape
    kv_element_bytes: float
    tp: int
    attention_dp: bool
    fraction: float
    """Share of the memory left after loading that the KV cache takes."""
    max_num_tokens: int
    max_batch_size: int
    request_tokens: int
    """Tokens in and out of a typical request."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Where one GPU's memory goes."""

    memory_bytes: int
    used_bytes: int
    """Held by others already."""
    weights_bytes: int
    overhead_bytes: int
    kv_bytes: int
    """What the KV cache gets; negative when the weights alone do not fit."""
    kv_token_bytes: int
    tokens: int
    """Tokens that its cache holds; never below 0."""
    room: int
    """Typical requests that the whole replica's caches hold."""
    concurrency: int
    """Typical requests that it runs at once: `room`, or its batch if that is less."""

    @property
    def tight(self) -> bool:
        """Whether it starts, but with little room for requests at the same time."""
        return self.room < TIGHT_REQUESTS


def kv_token_bytes(
    shape: Shape, element_bytes: float, *, tp: int, attention_dp: bool = False
) -> float:
    """Return the KV bytes of one token on one GPU."""
    if shape.latent_dim is not None:  # MLA: one latent for all heads, so nothing to divide
        return shape.layers * shape.latent_dim * element_bytes
    heads = shape.kv_heads if attention_dp else max(shape.kv_heads // tp, 1)
    return 2 * shape.layers * heads * shape.head_dim * element_bytes


def fit(demand: Demand, *, memory_bytes: int, used_bytes: int) -> Fit:
    """Work out where a GPU of ``memory_bytes``, ``used_bytes`` of it taken, would stand."""
    weights = int(demand.weights_bytes / demand.tp)
    overhead = _overhead(demand)
    left = memory_bytes - used_bytes - weights - overhead
    kv = int(left * demand.fraction)
    token = kv_token_bytes(
        demand.shape, demand.kv_element_bytes, tp=demand.tp, attention_dp=demand.attention_dp
    )
    tokens = max(0, int(kv / token))
    ranks = demand.tp if demand.attention_dp else 1
    return Fit(
        memory_bytes=memory_bytes,
        used_bytes=used_bytes,
        weights_bytes=weights,
        overhead_bytes=overhead,
        kv_bytes=kv,
        kv_token_bytes=int(token),
        tokens=tokens,
        room=ranks * (tokens // demand.request_tokens),
        concurrency=ranks * min(demand.max_batch_size, tokens // demand.request_tokens),
    )


def _overhead(demand: Demand) -> int:
    parallel = _PARALLEL_BYTES if demand.tp > 1 else 0
    batch = max(0, demand.max_num_tokens - _FREE_BATCH_TOKENS) * GIB // _FREE_BATCH_TOKENS
    return _OVERHEAD_BYTES + parallel + batch
