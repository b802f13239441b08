"""``/admin/gpus``, ``/admin/recipes``, ``/admin/plan``: what there is, what would be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from backends.explain import to_json
from backends.gpus import BadGpuSpec, Gpu, GpuReader, Inventory, parse_spec, read_inventory
from backends.plan import PlanRequest, Refusal, plan
from backends.recipes import Recipe
from backends.replica import ReplicaState
from backends.trtllm.command import bare_script, spawned_argv, spawned_yaml
from gateway.api.access import Role, needs
from gateway.api.admin_replicas import FleetHere
from gateway.api.bodies import PlanModel
from gateway.api.problems import BadRequest, Problem, problem_response
from gateway.api.views import Items
from gateway.fleet.fleet import Fleet

_VIEWER = needs(Role.VIEWER)
_GONE = frozenset({ReplicaState.STOPPED, ReplicaState.FAILED})


@dataclass(frozen=True, slots=True)
class Host:
    """What plans are made from: the reader of this host's GPUs, and the catalogue."""

    gpus: GpuReader
    recipes: Mapping[str, Recipe]


HostHere = NamedDependency[SkipValidation[Host]]


class GpuView(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU and who owns it."""

    uuid: str
    name: str
    compute_capability: str
    memory_bytes: int
    free_bytes: int
    index: int
    island: int
    """GPUs with the same number reach each other over NVLink."""
    mig: bool
    problem: str | None
    replica_id: str | None
    """The replica that owns it; None if it is free for planning."""


class GpuList(msgspec.Struct, frozen=True):
    """This host's GPUs."""

    items: list[GpuView]
    driver: str | None
    problem: str | None
    """Why there are none, or not all."""


class Planning(Controller):
    """What could be launched here."""

    path = "/admin"
    tags = ("planning",)

    @get("/gpus", opt=_VIEWER)
    async def list_gpus(self, fleet: FleetHere, host: HostHere) -> GpuList:
        """List the GPUs of this host, as the planner sees them."""
        found, owners = await read_inventory(host.gpus), _owners(fleet)
        views = [_gpu_view(gpu, owners.get(gpu.uuid)) for gpu in found.gpus]
        return GpuList(views, found.driver, found.problem)

    @get("/recipes", opt=_VIEWER)
    async def list_recipes(self, host: HostHere) -> Items[Recipe]:
        """List the recipe catalogue."""
        return Items(list(host.recipes.values()))

    @post("/plan", opt=_VIEWER, status_code=200)
    async def make_plan(
        self, fleet: FleetHere, host: HostHere, data: JSONBody[PlanModel]
    ) -> Response[Any]:
        """Say what would be launched for a model, and why; start nothing."""
        imagined = isinstance(data.gpus, str)
        inventory = _imagine(data.gpus) if imagined else await read_inventory(host.gpus)
        request = PlanRequest(
            model=data.model,
            precision=data.precision,
            gpus=data.gpus if isinstance(data.gpus, int) else None,
            overrides=data.overrides,
            max_seq_len=data.max_seq_len,
            taken=frozenset() if imagined else frozenset(_owners(fleet)),
        )
        outcome = plan(request, inventory, host.recipes)
        if isinstance(outcome, Refusal):
            return refused(outcome)
        command = {"argv": spawned_argv(outcome), "config.yml": spawned_yaml(outcome)}
        body = {**to_json(outcome), "command": command, "bare": bare_script(outcome)}
        return Response(body)


def refused(refusal: Refusal) -> Response[Problem]:
    """Answer that no plan could be made."""
    extra = {"code": refusal.code, "nearest": refusal.nearest}
    return problem_response(422, "plan-refused", refusal.reason, extra=extra)


def _imagine(spec: object) -> Inventory:
    try:
        return parse_spec(str(spec))
    except BadGpuSpec as error:
        raise BadRequest("gpus", str(error)) from None


def _owners(fleet: Fleet) -> dict[str, str]:
    """Return GPU -> replica, for every replica whose process may still hold it."""
    return {
        uuid: record.id
        for record in fleet.replicas()
        for uuid in record.spec.gpus
        if record.state not in _GONE
    }


def _gpu_view(gpu: Gpu, replica_id: str | None) -> GpuView:
    major, minor = gpu.compute_capability
    return GpuView(
        uuid=gpu.uuid,
        name=gpu.name,
        compute_capability=f"{major}.{minor}",
        memory_bytes=gpu.memory_bytes,
        free_bytes=gpu.free_bytes,
        index=gpu.index,
        island=gpu.island,
        mig=gpu.mig,
        problem=gpu.problem,
        replica_id=replica_id,
    )
