"""Profiles ``<model>-<precision>-<n>x<gpu>``: how long an iteration takes on which GPUs.

A profile is arithmetic on two tables, `GPUS` and `MODELS`; each number there has its source
beside it. Constants that are estimates say so: a profile ranks and sizes, it does not promise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

GIB = 1 << 30
COMPUTE_EFFICIENCY = 0.50
"""Share of the dense peak that large matrix products reach (estimate)."""
BANDWIDTH_EFFICIENCY = 0.75
"""Share of the peak memory bandwidth that decoding reaches (estimate)."""
ATTENTION_SHARE = 600 / 989
"""Share of the dense BF16 peak that prefill attention reaches: 600 of an H100's 989 TFLOP/s
(estimate)."""
KV_MEMORY_FRACTION = 0.9
"""``free_gpu_memory_fraction``, trtllm-serve's default."""
OVERHEAD_GIB = {False: 4.0, True: 6.0}
"""Memory for activations, CUDA graphs and NCCL per GPU; the second with tensor parallelism
(estimate)."""
PREFILL_OVERHEAD_S = 3e-3
"""Added to an iteration with context tokens, which runs outside the CUDA graphs (estimate)."""
MAX_NUM_TOKENS = 8192
"""trtllm-serve's default."""
MAX_SEQ_LEN = 131_072
"""``max_position_embeddings`` of Llama 3.1 and 3.3."""
GPU_COUNTS = (1, 2, 4, 8)
SMALLEST_POOL_TOKENS = 16_384
"""With less the planner would refuse the combination; here it has no profile."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """Public peaks of one GPU; FLOP/s are dense, half of what sheets give with sparsity."""

    bf16_flops: float
    flops: Mapping[str, float]
    """By precision of the weights and activations; a precision that is absent does not run."""
    bandwidth: float
    """Bytes per second."""
    visible_gib: float
    """What CUDA reports as total."""


@dataclass(frozen=True, slots=True)
class Model:
    """Shape of a model, and its weights in bytes by precision."""

    parameters: float
    weight_bytes: Mapping[str, float]
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    overhead_s: float
    """Per iteration on one GPU, scheduling and launches (estimate)."""
    parallel_overhead_s: float
    """Added with tensor parallelism, for the all-reduces (estimate)."""
    max_batch_size: int


GPUS = MappingProxyType(
    {
        # NVIDIA H100 data sheet, SXM: BF16 989, FP8 1,979 TFLOP/s dense; 3.35 TB/s.
        # Visible: measured.
        "h100": Gpu(989e12, {"fp8": 1979e12}, 3.35e12, 79.18),
        # NVIDIA H200 data sheet: computes as H100; 4.8 TB/s. Visible: a public start log.
        "h200": Gpu(989e12, {"fp8": 1979e12}, 4.8e12, 139.81),
        # NVIDIA DGX B200 data sheet, 1/8 of the system: FP8 4,500, FP4 9,000 TFLOP/s dense
        # (eight with sparsity: 72 and 144 PFLOP/s), BF16 half of FP8; 8 TB/s. Visible: a
        # public start log.
        "b200": Gpu(2250e12, {"fp8": 4500e12, "nvfp4": 9000e12}, 8.0e12, 178.35),
    }
)

MODELS = MappingProxyType(
    {
        # Shapes: the models' config.json. FP8 weights: size of the FP8 checkpoint. NVFP4
        # weights: 0.5625 bytes per parameter (4 bits, one E4M3 scale per 16), embedding and
        # head in BF16.
        "llama-3.3-70b": Model(
            70e9, {"fp8": 70.6e9, "nvfp4": 42.7e9}, 80, 64, 8, 128, 2.5e-3, 1.5e-3, 256
        ),
        "llama-3.1-8b": Model(
            8.0e9, {"fp8": 9.1e9, "nvfp4": 6.0e9}, 32, 32, 8, 128, 2.5e-3, 1.5e-3, 512
        ),
    }
)

_STATED_POOLS = {
    # What the engine's published model uses; the fit arithmetic below gives 475 k and 984 k.
    "llama-3.3-70b-fp8-2xh100": 65e9,
    "llama-3.1-8b-fp8-1xh100": 58e9,
}


@dataclass(frozen=True, slots=True)
class Workload:
    """What one iteration computes."""

    tokens: int
    """Prompt tokens of its chunks, and 1 + draft tokens of each decoding sequence."""
    attention_pairs: float
    """Sum over chunks of ``c (past + c / 2)``: query-key pairs under the causal mask."""
    kv_tokens_read: int
    """Cached tokens that its sequences and chunks look back at."""
    has_prefill: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """The constants of one model on one set of GPUs, efficiencies already applied."""

    name: str
    parameters: float
    weight_bytes: float
    flops: float
    attention_flop_per_pair: float
    attention_flops: float
    bandwidth: float
    kv_bytes_per_token: int
    kv_pool_tokens: int
    overhead_s: float
    prefill_overhead_s: float
    max_batch_size: int
    max_num_tokens: int = MAX_NUM_TOKENS
    max_seq_len: int = MAX_SEQ_LEN

    def iteration_s(self, work: Workload) -> float:
        """Return the seconds of ``work``: the slower of computing and reading memory."""
        computing = (
            2 * self.parameters * work.tokens / self.flops
            + self.attention_flop_per_pair * work.attention_pairs / self.attention_flops
        )
        reading = (
            self.weight_bytes + self.kv_bytes_per_token * work.kv_tokens_read
        ) / self.bandwidth
        overhead = self.overhead_s + (self.prefill_overhead_s if work.has_prefill else 0.0)
        return max(computing, reading) + overhead


class UnknownProfile(ValueError):  # noqa: N818 - names the condition
    """No profile has that name; the message lists those that exist."""


def profile(name: str) -> Profile:
    """Return the profile called ``name``.

    Raises:
        UnknownProfile: there is none of that name.
    """
    found = PROFILES.get(name)
    if found is None:
        raise UnknownProfile(f"no profile {name!r}; known: {', '.join(sorted(PROFILES))}")
    return found


def _kv_bytes_per_token(model: Model) -> int:
    return 2 * model.layers * model.kv_heads * model.head_dim  # keys and values, FP8: 1 byte


def _pool_bytes(model: Model, gpu: Gpu, precision: str, count: int) -> float:
    """Return the bytes that trtllm-serve would give the KV cache, over all ``count`` GPUs."""
    weights = model.weight_bytes[precision] / count
    free = (gpu.visible_gib - OVERHEAD_GIB[count > 1]) * GIB - weights
    return max(free, 0.0) * KV_MEMORY_FRACTION * count


def _build(model_name: str, precision: str, count: int, gpu_name: str) -> Profile:
    model, gpu = MODELS[model_name], GPUS[gpu_name]
    name = f"{model_name}-{precision}-{count}x{gpu_name}"
    kv_bytes = _kv_bytes_per_token(model)
    pool = _STATED_POOLS.get(name) or _pool_bytes(model, gpu, precision, count)
    return Profile(
        name=name,
        parameters=model.parameters,
        weight_bytes=model.weight_bytes[precision],
        flops=gpu.flops[precision] * COMPUTE_EFFICIENCY * count,
        attention_flop_per_pair=4 * model.layers * model.heads * model.head_dim,
        attention_flops=gpu.bf16_flops * ATTENTION_SHARE * count,
        bandwidth=gpu.bandwidth * BANDWIDTH_EFFICIENCY * count,
        kv_bytes_per_token=kv_bytes,
        kv_pool_tokens=int(pool / kv_bytes),
        overhead_s=model.overhead_s + (model.parallel_overhead_s if count > 1 else 0.0),
        prefill_overhead_s=PREFILL_OVERHEAD_S,
        max_batch_size=model.max_batch_size,
    )


def _build_all() -> dict[str, Profile]:
    built = (
        _build(model, precision, count, gpu)
        for model in MODELS
        for gpu in GPUS
        for precision in GPUS[gpu].flops
        for count in GPU_COUNTS
    )
    return {p.name: p for p in built if p.kv_pool_tokens >= SMALLEST_POOL_TOKENS}


PROFILES: Mapping[str, Profile] = MappingProxyType(_build_all())
"""Every profile by name."""
