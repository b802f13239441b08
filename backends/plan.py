"""Plan a replica: which recipe, precision and GPUs, with what settings, and why; or why not.

Pure: the same request, GPUs and recipes give the same plan. Nothing is started and nothing is
read here, so a plan for GPUs that are not there is as good as one for those that are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from backends.gpus import Gpu, Inventory, parse_spec
from backends.knobs import BadKnob, Value, read_overrides
from backends.memory import Fit
from backends.placement import PREFERENCE, Placement, placements
from backends.reasons import prerequisites, reasons, warnings
from backends.recipes import Recipe
from backends.settings import Settings

DEFAULT_RELEASE = "1.2.0"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What is to run."""

    model: str
    """A family of the catalogue, or a checkpoint: repository or directory."""
    precision: str = "auto"
    """``auto`` or one of `placement.PREFERENCE`."""
    gpus: int | tuple[str, ...] | None = None
    """How many GPUs, or their UUIDs; None leaves it to the planner."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Options of `knobs.KNOBS`, dotted or nested."""
    max_seq_len: int | None = None
    """Tokens in and out of the longest request; None for the recipe's."""
    taken: frozenset[str] = frozenset()
    """UUIDs of GPUs that other replicas own."""
    release: str = DEFAULT_RELEASE
    """Version of ``trtllm-serve`` that will run it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be started, and why."""

    model: str
    """As asked."""
    checkpoint: str
    """What is loaded."""
    recipe: Recipe
    gpus: tuple[Gpu, ...]
    settings: Settings
    fit: Fit
    release: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    prerequisites: tuple[str, ...]
    """What the host needs before the start, that the planner cannot see."""

    @property
    def precision(self) -> str:
        """The checkpoint's precision."""
        return self.recipe.precision

    @property
    def concurrency(self) -> int:
        """Typical requests that it is expected to run at once."""
        return self.fit.concurrency


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why it cannot run as asked."""

    code: str
    """One of ``unknown_model``, ``bad_override``, ``bad_precision``, ``no_gpu``,
    ``unknown_gpu``, ``gpus_taken``, ``not_enough_gpus`` and ``does_not_fit``."""
    reason: str
    nearest: str | None = None
    """The nearest thing that would work, for people; None where none is known."""

    @property
    def message(self) -> str:
        """Both as one sentence."""
        return f"{self.reason}; {self.nearest}" if self.nearest else self.reason


class _Refused(Exception):  # noqa: N818 - carries a value up through the steps of one attempt
    def __init__(self, code: str, reason: str, nearest: str | None = None) -> None:
        super().__init__(reason)
        self.refusal = Refusal(code, reason, nearest)


_MAY_FIT_ELSEWHERE = frozenset({"no_gpu", "not_enough_gpus", "does_not_fit"})


def plan(
    request: PlanRequest, inventory: Inventory, recipes: Mapping[str, Recipe]
) -> Plan | Refusal:
    """Find the best way to run ``request`` on these GPUs."""
    outcome = _attempt(request, inventory, recipes)
    if isinstance(outcome, Refusal) and outcome.code in _MAY_FIT_ELSEWHERE:
        return replace(outcome, nearest=_nearest(request, inventory, recipes))
    return outcome


def _attempt(
    request: PlanRequest, inventory: Inventory, recipes: Mapping[str, Recipe]
) -> Plan | Refusal:
    try:
        overrides = _overrides(request)
        fitting = _recipes(request, recipes)
        gpus = _gpus(request, inventory)
        count = _count(request, overrides)
        found = list(
            placements(fitting, gpus, count=count, overrides=overrides, release=request.release)
        )
        best = _best(found, gpus, count)
    except _Refused as refused:
        return refused.refusal
    return _plan(request, best, found, inventory)


def _overrides(request: PlanRequest) -> dict[str, Value]:
    try:
        overrides = read_overrides(request.overrides)
        if request.max_seq_len is not None:
            overrides = {**read_overrides({"max_seq_len": request.max_seq_len}), **overrides}
    except BadKnob as error:
        raise _Refused("bad_override", str(error)) from None
    return overrides


def _recipes(request: PlanRequest, recipes: Mapping[str, Recipe]) -> list[Recipe]:
    if request.precision not in ("auto", *PREFERENCE):
        known = ", ".join(("auto", *PREFERENCE))
        raise _Refused(
            "bad_precision", f"no precision {request.precision!r}; known are {known}"
        )
    kinds = {recipe.id: recipe.matches(request.model) for recipe in recipes.values()}
    exact = [recipes[name] for name, kind in kinds.items() if kind == "checkpoint"]
    if exact and request.precision in ("auto", exact[0].precision):
        return exact
    family = [recipes[name] for name, kind in kinds.items() if kind is not None]
    wanted = [r for r in family if request.precision in ("auto", r.precision)]
    if not wanted:
        raise _no_recipe(request, family, recipes)
    return wanted


def _no_recipe(
    request: PlanRequest, family: list[Recipe], recipes: Mapping[str, Recipe]
) -> _Refused:
    if family:
        have = ", ".join(f"{r.precision} ({r.checkpoint})" for r in family)
        return _Refused(
            "bad_precision",
            f"there is no {request.precision} recipe for {request.model}; there is {have}",
        )
    names = sorted({name for r in recipes.values() for name in (*r.families, r.checkpoint)})
    near = get_close_matches(request.model, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    return _Refused("unknown_model", f"no recipe for {request.model!r}", hint)


def _gpus(request: PlanRequest, inventory: Inventory) -> list[Gpu]:
    usable = [gpu for gpu in inventory.gpus if gpu.problem is None]
    if not usable:
        lost = next((gpu.problem for gpu in inventory.gpus if gpu.problem), None)
        why = inventory.problem or lost or "this host has none"
        raise _Refused("no_gpu", f"no GPU can be used: {why}")
    if isinstance(request.gpus, tuple):
        named = [gpu for gpu in usable if gpu.uuid in request.gpus]
        missing = set(request.gpus) - {gpu.uuid for gpu in named}
        if missing or not named:
            have = ", ".join(gpu.uuid for gpu in usable)
            lacking = ", ".join(sorted(missing)) or "(none named)"
            raise _Refused("unknown_gpu", f"no usable GPU {lacking}; there are {have}")
        usable = named
    free = [gpu for gpu in usable if gpu.uuid not in request.taken]
    if not free:
        raise _Refused(
            "gpus_taken", f"other replicas own all {len(usable)} GPUs that may be used"
        )
    return free


def _count(request: PlanRequest, overrides: Mapping[str, Value]) -> int | None:
    asked = len(request.gpus) if isinstance(request.gpus, tuple) else request.gpus
    tp = overrides.get("tp_size")
    if asked is not None and asked < 1:
        raise _Refused("bad_override", f"gpus: {asked} is not a whole number from 1")
    if isinstance(tp, int) and asked not in (None, tp):
        raise _Refused("bad_override", f"tp_size: {tp} contradicts the {asked} GPUs asked for")
    return tp if isinstance(tp, int) else asked


def _best(found: Sequence[Placement], gpus: list[Gpu], count: int | None) -> Placement:
    working = [placement for placement in found if placement.broken is None]
    if working:
        return min(working, key=lambda placement: placement.rank)
    if not found:
        kinds = ", ".join(sorted({gpu.name for gpu in gpus}))
        raise _Refused(
            "not_enough_gpus",
            f"{count} GPUs of one kind were asked for; free are {len(gpus)} ({kinds})",
        )
    largest = {p.recipe.id: p for p in sorted(found, key=lambda p: len(p.gpus))}
    why = [
        f"{name} on {len(p.gpus)}x {p.gpus[0].name}: {p.broken}" for name, p in largest.items()
    ]
    raise _Refused("does_not_fit", "; ".join(why))


def _plan(
    request: PlanRequest, best: Placement, found: Sequence[Placement], inventory: Inventory
) -> Plan:
    exact = best.recipe.matches(request.model) == "checkpoint"
    return Plan(
        model=request.model,
        checkpoint=request.model if exact else best.recipe.checkpoint,
        recipe=best.recipe,
        gpus=best.gpus,
        settings=best.settings,
        fit=best.fit,
        release=request.release,
        reasons=reasons(best, found, asked=request.precision),
        warnings=warnings(best, inventory.driver, request.release),
        prerequisites=prerequisites(best.recipe),
    )


def _nearest(
    request: PlanRequest, inventory: Inventory, recipes: Mapping[str, Recipe]
) -> str | None:
    """Try what is nearest first: other precision, more of the same GPUs, other GPUs."""
    relaxed = replace(request, gpus=None, taken=frozenset())
    overrides = {k: v for k, v in request.overrides.items() if k != "tp_size"}
    anyhow = replace(relaxed, precision="auto", overrides=overrides)
    if inventory.gpus:
        for attempt in (
            replace(request, precision="auto"),
            replace(anyhow, taken=request.taken),
        ):
            found = _attempt(attempt, inventory, recipes)
            if isinstance(found, Plan):
                return f"{found.precision} fits on {len(found.gpus)} of these"
    for attempt in (replace(relaxed, overrides=overrides), anyhow):
        for host in (_more(inventory), *map(parse_spec, ("8xH100-80G", "8xH200", "8xB200"))):
            found = _attempt(attempt, host, recipes)
            if isinstance(found, Plan):
                kind = found.gpus[0].name
                return f"{found.precision} fits on {len(found.gpus)}x {kind}"
    return None


def _more(inventory: Inventory) -> Inventory:
    """Imagine eight of the first usable GPU, all free and linked as that one is."""
    first = next((gpu for gpu in inventory.gpus if gpu.problem is None), None)
    if first is None:
        return Inventory()
    eight = (
        replace(first, uuid=f"GPU-hypothetical-{n}", index=n, free_bytes=first.memory_bytes)
        for n in range(8)
    )
    return Inventory(tuple(eight), hypothetical=True)
