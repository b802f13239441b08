"""Why a plan is as it is, and what may go wrong with it, in sentences for people."""

from collections.abc import Sequence

from backends.placement import Placement, needs, supports
from backends.recipes import Recipe

_GUIDE_DRIVER = 575


def reasons(best: Placement, found: Sequence[Placement], *, asked: str) -> tuple[str, ...]:
    """Say why this one of all that were ``found``; ``asked`` is the precision wanted."""
    return (
        _precision(best, found, asked),
        *_size(best, found),
        *best.settings.changes,
        *_longest(best),
    )


def _precision(best: Placement, found: Sequence[Placement], asked: str) -> str:
    name, gpu = best.recipe.precision.upper(), best.gpus[0]
    if asked != "auto":
        return f"{name}: as asked"
    others = {p.recipe.precision for p in found if p.rank[0] < best.rank[0]}
    has = f"{gpu.sm // 10}.{gpu.sm % 10}"
    lacking = [needs(other) for other in others if not supports(other, gpu)]
    if lacking:
        return f"{name}: {', '.join(sorted(lacking))} and {gpu.name} has {has}"
    return f"{name}: the smallest that {gpu.name} ({has}) runs and that has a recipe"


def _size(best: Placement, found: Sequence[Placement]) -> list[str]:
    """Say why not fewer GPUs."""
    smaller = [
        p
        for p in found
        if p.recipe is best.recipe
        and len(p.gpus) < len(best.gpus)
        and p.gpus[0].name == best.gpus[0].name
    ]
    if not smaller:
        count = len(best.gpus)
        return [
            f"{count} GPU{'s' if count > 1 else ''}: the model fits with room for requests"
        ] * (not best.fit.tight)
    largest = max(smaller, key=lambda p: len(p.gpus))
    why = largest.broken or (
        f"the KV cache would hold only {largest.fit.room} requests of"
        f" {_typical(best.recipe):,} tokens at once"
    )
    return [f"{len(best.gpus)} GPUs: on {len(largest.gpus)} {why}"]


def _longest(best: Placement) -> list[str]:
    """Say what the longest request costs."""
    longest, recipe = best.settings.get("max_seq_len"), best.recipe
    if longest == recipe.flags["max_seq_len"]:
        why = (
            f"max_seq_len {longest:,} is the recipe's, chosen for {recipe.isl} tokens in and"
            f" {recipe.osl} out; longer requests are refused until it is raised"
        )
        return [why]
    at_once = best.fit.room * _typical(recipe) // longest
    cost = (
        f"max_seq_len {longest:,}: {at_once} requests of full length fit at once, instead of"
        f" {best.fit.room} of {_typical(recipe):,} tokens"
    )
    return [cost]


def _typical(recipe: Recipe) -> int:
    return recipe.isl + recipe.osl


def warnings(best: Placement, driver: str | None, release: str) -> tuple[str, ...]:
    """Say what may go wrong, and what to do about it."""
    return (
        *_memory_warnings(best),
        *_gpu_warnings(best, driver),
        *_setting_warnings(best),
        *_release_warnings(best.recipe, release),
    )


def _memory_warnings(best: Placement) -> list[str]:
    found = []
    if best.fit.tight:
        found.append(
            f"tight: room for {best.fit.room} requests of {_typical(best.recipe):,} tokens at"
            f" once; more GPUs or a smaller precision give more"
        )
    if best.fit.used_bytes > best.fit.memory_bytes // 100:
        used = best.fit.used_bytes / 2**30
        found.append(f"{used:.1f} GiB of the GPU memory is held by others already")
    return found


def _gpu_warnings(best: Placement, driver: str | None) -> list[str]:
    gpu, found = best.gpus[0], []
    if gpu.sm not in best.recipe.sm:
        found.append(
            f"the recipe was tested on compute capabilities"
            f" {', '.join(f'{sm // 10}.{sm % 10}' for sm in best.recipe.sm)}, not on {gpu.name}"
        )
    if len({other.island for other in best.gpus}) > 1:
        found.append(
            "these GPUs have no NVLink between them: tensor parallelism over PCIe is slow, and"
            " some hosts hang in it until NCCL_P2P_DISABLE=1 is set"
        )
    major = (driver or "").partition(".")[0]
    if major.isdigit() and int(major) < _GUIDE_DRIVER:
        found.append(f"driver {driver} is older than the {_GUIDE_DRIVER} that NVIDIA asks for")
    return found


def _setting_warnings(best: Placement) -> list[str]:
    settings, found = best.settings, []
    batch, graphs = (
        settings.get("max_batch_size"),
        settings.get("cuda_graph_config.max_batch_size"),
    )
    if graphs is not None and graphs != batch:
        found.append(
            f"cuda_graph_config.max_batch_size {graphs} differs from max_batch_size {batch}:"
            " NVIDIA advises the same value"
        )
    if not best.recipe.moe and settings.get("ep_size", 1) > 1:
        found.append("ep_size has no effect: this model is no mixture of experts")
    return found


def _release_warnings(recipe: Recipe, release: str) -> list[str]:
    if _version(release) >= _version(recipe.min_image):
        return []
    return [f"the recipe needs trtllm-serve {recipe.min_image}; {release} is older"]


def _version(text: str) -> tuple[int, ...]:
    return tuple(
        int("".join(c for c in part if c.isdigit()) or 0) for part in text.split(".")[:2]
    )


def prerequisites(recipe: Recipe) -> tuple[str, ...]:
    """Say what must be there before the start."""
    gate = (
        f"the licence of {recipe.checkpoint} accepted on Hugging Face, and HF_TOKEN set,"
        " unless it is downloaded already"
    )
    return (
        f"NVIDIA driver {_GUIDE_DRIVER} or later",
        *([gate] if recipe.gated else []),
    )
