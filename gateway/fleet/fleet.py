"""The fleet as the admin API and the supervisor use it.

Every change is durable before its call returns; what takes time is an `Operation` that goes on
after it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from backends.launcher import Launcher, LogLine
from backends.replica import ReplicaSpec
from gateway.core.outlier import Outlier
from gateway.core.snapshot import FleetSnapshot
from gateway.fleet.decisions import STATIC, Rules
from gateway.fleet.drifting import Drift
from gateway.fleet.errors import NotPossibleNow
from gateway.fleet.launching import Launching
from gateway.fleet.models import ModelStatus
from gateway.fleet.planning import CreateRequest, Planner, Planning
from gateway.fleet.prober import Probe
from gateway.fleet.reconciler import Reconciler
from gateway.fleet.settings import FleetSettings
from gateway.fleet.state import FleetState
from gateway.fleet.statics import Statics
from gateway.fleet.watching import Consequences, Findings, Means, Watching
from gateway.fleet.wishes import Wishes, must_be_ours
from gateway.state.board import Board
from gateway.state.store import Desired, Operation, ReplicaRecord, Store

__all__ = ["Dependencies", "Drift", "Fleet", "ModelStatus"]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the fleet is given from outside."""

    store: Store
    """Closed by whoever opened it, after `Fleet.close`."""
    board: Board
    launchers: Mapping[str, Launcher]
    """By the name that specifications carry; one launcher may go by several names."""
    planner: Planner
    probe: Probe
    clock: Callable[[], float]
    """Unix seconds."""
    rng: Random
    """Makes ids and spreads retries and probes in time."""
    monotonic: Callable[[], float]
    """Seconds of the clock that the board's instants are on."""
    findings: Findings


class Fleet:
    """All replicas of this gateway: `start`, then `run` beside the rest, then `close`."""

    def __init__(self, settings: FleetSettings, given: Dependencies) -> None:
        rules = Rules(settings.reconcile, given.rng)
        self._launchers, self._probe = given.launchers, given.probe
        self._state = state = FleetState(settings, given.store, given.board, given.clock)
        self._registry, self._models = state.registry, state.models
        self._statics = Statics(state.registry, state.models, settings)
        self._planning = Planning(given.planner, state, tuple(given.launchers))
        self._wishes = Wishes(state, self._planning, rules)
        self._launching = Launching(state, self._planning, given.launchers, rules)
        self._reconciler = Reconciler(state, self._launching, rules)
        self._watching = Watching(
            state,
            Means(given.probe, settings.probe, given.rng, given.monotonic),
            given.findings,
            Consequences(self._statics.discovered, self.suspect, self.drain),
        )
        self._prober = self._watching.prober
        # versions go on from the time: they grow over restarts of the supervisor
        self._snapshot = FleetSnapshot(version=int(given.clock() * 1000))

    async def start(self) -> None:
        """Take up the store's records and what runs; nothing is started or stopped yet.

        Raises:
            StoreUnavailable: the store cannot be read or written.
        """
        await self._state.load()
        self._statics.load()
        await self._reconciler.adopt()

    async def run(self) -> None:
        """Probe and reconcile until cancelled; call `start` before."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watching.run(), name="watching")
            tasks.create_task(self._reconciler.run(), name="reconciler")

    async def close(self, *, stop_replicas: bool) -> None:
        """Store and close what is left, with ``stop_replicas`` after ending all that run here.

        Call it when `run` has ended. The replicas are still wanted: the next start runs them.
        """
        if stop_replicas:
            async with asyncio.TaskGroup() as tasks:
                for record in self._registry.records():
                    tasks.create_task(self._launching.shut_down(record))
        await self._probe.close()
        await self._state.save()

    def suspect(self, replica_id: str) -> None:
        """Probe a replica soon, because a request to it failed; an unknown id is no error."""
        self._prober.suspect(replica_id)
        self._reconciler.wake()  # its process may have ended: then no probe need fail first

    def eject(self, outlier: Outlier) -> None:
        """Give a replica no requests for a while; what was said before is no error.

        One that is only suspect is asked first whether it works.
        """
        self._watching.eject(outlier)

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change of any replica."""
        self._registry.subscribe(listener)

    def snapshot(self, template: FleetSnapshot) -> FleetSnapshot:
        """Return what workers need, all but models and version from ``template``.

        The version grows only when something differs from the snapshot before.
        """
        records = self._registry.records()
        views = {n: self._models.view(n, records) for n in self._models.names(records)}
        fresh = replace(template, version=self._snapshot.version, models=views)
        if fresh != self._snapshot:
            self._snapshot = replace(fresh, version=fresh.version + 1)
        return self._snapshot

    def replicas(self) -> list[ReplicaRecord]:
        """Return all records, oldest first."""
        return self._registry.records()

    def replica(self, replica_id: str) -> ReplicaRecord:
        """Return one record.

        Raises:
            UnknownReplica: no record has that id.
        """
        return self._registry.find(replica_id)

    def in_flight(self, replica_id: str) -> int:
        """Return the requests that all workers have open on it.

        Raises:
            UnknownReplica: no record has that id.
        """
        return self._registry.leases(self._registry.find(replica_id))

    def drift(self, replica_id: str) -> Drift:
        """Return how far its answers are from its siblings'.

        Raises:
            UnknownReplica: no record has that id.
        """
        return self._watching.comparing.of(self._registry.find(replica_id))

    async def plan(self, request: CreateRequest) -> ReplicaSpec:
        """Return what `create` would start, and start nothing (``dry_run``).

        Raises:
            UnknownModel, UnknownLauncher, PlanRefused: it would not be started.
        """
        async with self._planning.turn():
            return await self._planning.plan(request)

    async def create(
        self, request: CreateRequest, idempotency_key: str | None = None
    ) -> Operation:
        """Want one more replica of a model; the same key returns the same operation.

        Raises:
            UnknownModel, UnknownLauncher, PlanRefused, ReplicaLimit: it cannot be started.
            IdempotencyConflict: the key stands for another request.
        """
        return await self._wishes.create(request, idempotency_key)

    async def drain(self, replica_id: str, grace_s: float | None = None) -> Operation:
        """Want one replica less: no new requests, then stop it, and keep its record.

        Raises:
            UnknownReplica: no record has that id.
        """
        return await self._wishes.give_up("drain", replica_id, Desired.STOP, grace_s)

    async def delete(self, replica_id: str, grace_s: float | None = None) -> Operation:
        """Drain, then forget.

        Raises:
            UnknownReplica: no record has that id.
        """
        return await self._wishes.give_up("delete", replica_id, Desired.FORGET, grace_s)

    async def restart(self, replica_id: str, grace_s: float | None = None) -> Operation:
        """Drain, stop and start again; one that failed or was stopped is started afresh.

        Raises:
            UnknownReplica: no record has that id.
            NotPossibleNow: somebody else runs it.
            ReplicaLimit: it was stopped, and its model has all the replicas it may have.
        """
        return await self._wishes.restart(replica_id, grace_s)

    async def register(self, url: str, model: str | None = None) -> Operation:
        """Serve a replica that somebody else runs; without ``model``, as what it reports to be.

        Raises:
            BadUrl: the address is not ``http://host:port``.
            UnknownModel: ``model`` is not configured.
        """
        record = self._statics.register(url, model)
        return await self._wishes.begin("register", record.id, record.spec.model or None)

    async def unregister(self, replica_id: str) -> Operation:
        """Drain a registered replica and forget it; it runs on.

        Raises:
            UnknownReplica: no record has that id.
            NotPossibleNow: the gateway itself runs it.
        """
        if self._registry.find(replica_id).spec.launcher != STATIC:
            raise NotPossibleNow(
                f"replica {replica_id} is run by this gateway: delete it instead"
            )
        return await self._wishes.give_up("delete", replica_id, Desired.FORGET, None)

    def models(self) -> list[ModelStatus]:
        """Return all models, in the configuration's order, then discovered ones."""
        records = self._registry.records()
        return [self._models.status(name, records) for name in self._models.names(records)]

    async def scale(self, model: str, replicas: int) -> Operation:
        """Want this many replicas of a model, until `unpin`.

        Raises:
            UnknownModel: no model has that name.
            ReplicaLimit: outside the model's ``min`` to ``max``.
        """
        operation = await self._wishes.scale(model, replicas)
        self._reconciler.wake()
        return operation

    async def unpin(self, model: str) -> ModelStatus:
        """Forget a manual scale: the configuration's count holds again.

        Raises:
            UnknownModel: no model has that name.
        """
        name = self._models.find(model).name
        self._models.unpin(name)
        self._reconciler.wake()
        await self._state.save()
        return self._models.status(name, self._registry.records())

    def operations(self) -> list[Operation]:
        """Return the last 1,000 operations, oldest first."""
        return self._state.operations.all()

    def operation(self, operation_id: str) -> Operation:
        """Return one operation.

        Raises:
            UnknownOperation: no operation has that id.
        """
        return self._state.operations.find(operation_id)

    def follow(self, operation_id: str) -> AsyncIterator[Operation]:
        """Yield an operation's progress so far, then each change, until it ended.

        Raises:
            UnknownOperation: no operation has that id; raised by the call itself.
        """
        return self._state.operations.follow(operation_id)

    def logs(self, replica_id: str, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield its last ``tail`` lines, then with ``follow`` each new one.

        Raises:
            UnknownReplica: no record has that id; raised by the call itself.
            NotPossibleNow: somebody else runs it.
        """
        record = self._registry.find(replica_id)
        must_be_ours(record)
        launcher = self._launchers[record.spec.launcher]
        return launcher.logs(record.id, tail=tail, follow=follow)
