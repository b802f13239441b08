"""Which GPUs, how many, and which precision: every possibility, judged one by one.

A possibility that does not work is kept with the first rule that it breaks: refusals are made
of these.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backends.gpus import Gpu
from backends.knobs import Value
from backends.memory import Demand, Fit, fit
from backends.recipes import Recipe, Shape
from backends.settings import Settings, settings_for

PREFERENCE = ("nvfp4", "mxfp4", "fp8", "fp8_block", "bf16")
"""Best first: fewer bytes for each weight, as far as the GPU has them in hardware."""
_LOWEST_SM: Mapping[str, int] = {
    "nvfp4": 100,
    "mxfp4": 90,
    "fp8": 89,
    "fp8_block": 90,
    "bf16": 80,
}
_NOT_ON: Mapping[str, frozenset[int]] = {"fp8_block": frozenset({120, 121})}
_SIZES = (1, 2, 4, 8)
_ELEMENT_BYTES: Mapping[str, float] = {"fp8": 1, "nvfp4": 0.5625}


@dataclass(frozen=True, slots=True)
class Placement:
    """One recipe on certain GPUs."""

    recipe: Recipe
    gpus: tuple[Gpu, ...]
    settings: Settings
    fit: Fit
    broken: str | None
    """The first rule that it breaks, for people; None if it would work."""

    @property
    def rank(self) -> tuple[int, bool, int, int]:
        """Order among those that work, smallest first."""
        best = PREFERENCE.index(self.recipe.precision)
        return best, self.fit.tight, len(self.gpus), -self.fit.concurrency


def supports(precision: str, gpu: Gpu) -> bool:
    """Say whether the GPU has kernels for a precision."""
    return gpu.sm >= _LOWEST_SM[precision] and gpu.sm not in _NOT_ON.get(precision, ())


def needs(precision: str) -> str:
    """Say what a precision needs, for people."""
    lowest = _LOWEST_SM[precision]
    return f"{precision.upper()} needs compute capability {lowest // 10}.{lowest % 10}"


def placements(
    recipes: Sequence[Recipe],
    gpus: Sequence[Gpu],
    *,
    count: int | None,
    overrides: Mapping[str, Value],
    release: str,
) -> Iterator[Placement]:
    """Yield every possibility, even those that cannot work; ``count`` fixes how many GPUs."""
    for group in _alike(gpus):
        sizes = _SIZES if count is None else (count,)
        for size in sizes:
            chosen = _choose(group, size)
            for recipe in recipes if chosen else ():
                settings = settings_for(recipe, tp=size, overrides=overrides, release=release)
                yield _judge(recipe, chosen, settings)


def _alike(gpus: Sequence[Gpu]) -> list[list[Gpu]]:
    groups: dict[object, list[Gpu]] = defaultdict(list)
    for gpu in gpus:
        groups[gpu.name, gpu.compute_capability, gpu.memory_bytes, gpu.mig].append(gpu)
    return list(groups.values())


def _choose(group: list[Gpu], size: int) -> tuple[Gpu, ...]:
    """Take the freest GPUs of one NVLink island; of several if none is large enough."""
    if len(group) < size:
        return ()
    islands: dict[int, list[Gpu]] = defaultdict(list)
    for gpu in sorted(group, key=lambda gpu: (-gpu.free_bytes, gpu.index)):
        islands[gpu.island].append(gpu)
    large = [island[:size] for island in islands.values() if len(island) >= size]
    pool = max(large, key=lambda island: min(gpu.free_bytes for gpu in island), default=None)
    if pool is None:
        pool = sorted(group, key=lambda gpu: (-gpu.free_bytes, gpu.index))[:size]
    return tuple(sorted(pool, key=lambda gpu: gpu.index))


def _judge(recipe: Recipe, gpus: tuple[Gpu, ...], settings: Settings) -> Placement:
    room = fit(
        _demand(recipe, len(gpus), settings),
        memory_bytes=gpus[0].memory_bytes,
        used_bytes=max(gpu.used_bytes for gpu in gpus),
    )
    broken = (
        _unsupported(recipe, settings, gpus[0])
        or _indivisible(recipe.shape, len(gpus), gpus[0])
        or _too_large(room, settings.get("max_seq_len"))
    )
    return Placement(recipe, gpus, settings, room, broken)


def _demand(recipe: Recipe, tp: int, settings: Settings) -> Demand:
    dtype = settings.get("kv_cache_config.dtype", "auto")
    return Demand(
        weights_bytes=recipe.weights_gb * 1e9,
        shape=recipe.shape,
        kv_element_bytes=_ELEMENT_BYTES.get(dtype, recipe.kv_bytes),
        tp=tp,
        attention_dp=bool(settings.get("enable_attention_dp")),
        fraction=settings.get("kv_cache_free_gpu_memory_fraction", 0.9),
        max_num_tokens=settings.get("max_num_tokens"),
        max_batch_size=settings.get("max_batch_size"),
        request_tokens=recipe.isl + recipe.osl,
    )


def _unsupported(recipe: Recipe, settings: Settings, gpu: Gpu) -> str | None:
    have = f"{gpu.name} has {gpu.sm // 10}.{gpu.sm % 10}"
    if not supports(recipe.precision, gpu):
        return f"{needs(recipe.precision)}; {have}"
    kv_dtype = settings.get("kv_cache_config.dtype", "auto")
    if kv_dtype in PREFERENCE and not supports(kv_dtype, gpu):
        return f"a KV cache in {kv_dtype}: {needs(kv_dtype)}; {have}"
    return None


def _indivisible(shape: Shape, tp: int, gpu: Gpu) -> str | None:
    if tp & (tp - 1):
        return f"tensor parallelism over {tp} GPUs: the number must be a power of two"
    if tp > 1 and gpu.mig:
        return "MIG slices cannot reach each other, so a model must fit on one"
    if shape.heads % tp or (shape.kv_heads % tp and tp % shape.kv_heads):
        return (
            f"{shape.heads} heads with {shape.kv_heads} for KV cannot be split over {tp} GPUs"
        )
    return None


def _too_large(room: Fit, longest: int) -> str | None:
    needed = room.weights_bytes + room.overhead_bytes
    if room.kv_bytes <= 0:
        free = room.memory_bytes - room.used_bytes
        return f"weights and workspace need {_gb(needed)} of each GPU; {_gb(free)} are free"
    if room.tokens < longest:
        return (
            f"the KV cache would hold {room.tokens:,} tokens, less than one request of"
            f" max_seq_len {longest:,}"
        )
    return None


def _gb(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
