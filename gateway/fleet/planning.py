"""How a wanted replica becomes a specification, one at a time.

Two plans made side by side would choose the same free GPUs: whoever plans holds the lock until
the replica stands in the registry.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from backends.plan import Refusal
from backends.replica import ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.fleet.errors import PlanRefused, UnknownLauncher
from gateway.fleet.settings import ModelSettings
from gateway.fleet.state import FleetState
from gateway.state.store import Desired, ReplicaRecord


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """``POST /admin/replicas``: one more replica; None leaves it to the model's settings."""

    model: str
    launcher: str | None = None
    precision: str | None = None
    gpus: int | tuple[str, ...] | None = None
    """How many GPUs, or their UUIDs."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Options laid over the recipe's and the model's."""


class Planner(Protocol):
    """Turns a request into a specification."""

    async def __call__(
        self, request: CreateRequest, settings: ModelSettings, taken: frozenset[str]
    ) -> ReplicaSpec | Refusal:
        """Plan, and start nothing; ``taken`` are UUIDs of GPUs that other replicas own."""
        ...


class Planning:
    """Plans replicas for the registry."""

    def __init__(self, planner: Planner, state: FleetState, launchers: tuple[str, ...]) -> None:
        self._planner = planner
        self._models = state.models
        self._registry = state.registry
        self._launchers = launchers
        self._lock = asyncio.Lock()

    def turn(self) -> asyncio.Lock:
        """Return the lock to hold from before a plan until the registry has its replica."""
        return self._lock

    async def plan(self, request: CreateRequest) -> ReplicaSpec:
        """Return the specification; call it in your `turn`.

        Raises:
            UnknownModel, UnknownLauncher, PlanRefused: it cannot run as asked.
        """
        settings = self._models.find(request.model)
        launcher = request.launcher or settings.launcher
        if launcher not in self._launchers:
            raise UnknownLauncher(launcher, self._launchers)
        taken = taken_gpus(self._registry.records())
        planned = await self._planner(request, settings, taken)
        if isinstance(planned, Refusal):
            raise PlanRefused(planned)
        return planned


def remembered(request: CreateRequest) -> dict[str, Any]:
    """Return what a record keeps of a request, for `asked_again`."""
    kept = {"precision": request.precision, "gpus": request.gpus, "launcher": request.launcher}
    asked = {name: value for name, value in kept.items() if value is not None}
    return asked | ({"overrides": dict(request.overrides)} if request.overrides else {})


def asked_again(record: ReplicaRecord) -> CreateRequest:
    """Return the request that a replica was made for, to plan it anew."""
    return msgspec.convert({"model": record.spec.model, **record.request}, CreateRequest)


def taken_gpus(records: list[ReplicaRecord]) -> frozenset[str]:
    """Return the GPUs that replicas own: all but those that are stopped for good."""
    return frozenset(
        gpu
        for record in records
        if record.state is not S.STOPPED or record.desired is Desired.RUN
        for gpu in record.spec.gpus
    )
