"""Plan replicas from recipes and this host's GPUs; simulated ones from their options.

The one place where the fleet's requests meet the planner of `backends`.
"""

from collections.abc import Mapping
from dataclasses import asdict

import msgspec

from backends.gpus import GpuReader, read_inventory
from backends.plan import PlanRequest, Refusal, plan
from backends.recipes import Recipe
from backends.replica import ReplicaSpec
from backends.simulated import SimulatorOptions, simulated
from backends.trtllm.command import to_spec
from gateway.fleet.planning import CreateRequest
from gateway.fleet.settings import ModelSettings

SIMULATED = "sim"


class RecipePlanner:
    """A `gateway.fleet.planning.Planner`."""

    def __init__(self, gpus: GpuReader, recipes: Mapping[str, Recipe]) -> None:
        """Plan with ``recipes`` on what ``gpus`` reads, anew for each plan."""
        self._gpus = gpus
        self._recipes = recipes

    async def __call__(
        self, request: CreateRequest, settings: ModelSettings, taken: frozenset[str]
    ) -> ReplicaSpec | Refusal:
        """Return what would run; ``taken`` GPUs are left alone."""
        launcher = request.launcher or settings.launcher
        if launcher == SIMULATED:
            return _simulated(request, settings)
        asked = PlanRequest(
            model=settings.source,
            precision=request.precision or settings.precision,
            gpus=request.gpus,
            overrides={**settings.overrides, **request.overrides},
            taken=taken,
        )
        planned = plan(asked, await read_inventory(self._gpus), self._recipes)
        if isinstance(planned, Refusal):
            return planned
        return to_spec(planned, model=settings.name, launcher=launcher)


def _simulated(request: CreateRequest, settings: ModelSettings) -> ReplicaSpec | Refusal:
    if request.gpus is not None or request.precision is not None:
        reason = "a simulated replica has no GPUs and no precision of its own"
        nearest = "name a profile in overrides, such as llama-3.3-70b-fp8-2xh100"
        return Refusal("bad_override", reason, nearest)
    asked = {**asdict(settings.sim), **request.overrides}
    unknown = sorted(asked.keys() - asdict(settings.sim).keys())
    if unknown:
        known = ", ".join(asdict(settings.sim))
        reason = f"a simulated replica has no option {', '.join(unknown)}"
        return Refusal("bad_override", reason, f"it has {known}")
    try:
        options = msgspec.convert(asked, SimulatorOptions)
    except msgspec.ValidationError as problem:
        return Refusal("bad_override", f"overrides: {problem}")
    return simulated(settings.name, settings.source, options)
