"""Bring the replicas that run to those that are wanted: each second, and on each change.

Decisions are those of `decisions`, `counting` and `adoption`; this shell carries them out, one
action for each replica at a time.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from backends.launcher import Exit
from backends.replica import ReplicaId, ReplicaSpec
from gateway.fleet.addresses import replica_id_of
from gateway.fleet.adoption import Leftover, may_have_remains, take_up
from gateway.fleet.counting import missing, surplus
from gateway.fleet.decisions import (
    RUNNING,
    STATIC,
    Action,
    Drop,
    Facts,
    Fail,
    Launch,
    Move,
    Rules,
    Stop,
    decide,
    unplanned,
)
from gateway.fleet.errors import ReplicaLimit
from gateway.fleet.launching import Launching
from gateway.fleet.state import FleetState
from gateway.state.store import Desired, ReplicaRecord, StoreUnavailable

log = logging.getLogger(__name__)


class Reconciler:
    """Carries out decisions about all replicas."""

    def __init__(self, state: FleetState, launching: Launching, rules: Rules) -> None:
        self._state = state
        self._registry = state.registry
        self._models = state.models
        self._launching = launching
        self._rules = rules
        self._busy: set[ReplicaId] = set()
        self._to_end: set[ReplicaId] = set()
        self._to_clear: set[ReplicaId] = set()
        self._changed = asyncio.Event()

    async def adopt(self) -> None:
        """Match the store's records with what runs, once, before anything is started.

        Raises:
            StoreUnavailable: what was found could not be stored.
        """
        found = await self._launching.running()
        for record in self._registry.records():
            running = found.pop(record.id, None)
            end = None if running else await self._launching.end_of(record)
            decision = take_up(record, running, end, self._state.clock(), self._rules)
            if isinstance(decision, Move):
                self._move(record, decision)
            elif isinstance(decision, Leftover):
                self._to_end.add(record.id)
        self._to_end |= found.keys()
        # a crash may have come between a failure and the end of what was left of the replica
        at_rest = [r for r in self._registry.records() if may_have_remains(r)]
        self._to_clear = {r.id for r in at_rest} - self._to_end
        for record in at_rest:
            self._registry.update(record.id, spec=unplanned(record.spec))
        await self._state.save()

    def wake(self) -> None:
        """Decide anew at once: what is wanted changed."""
        self._changed.set()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        self._registry.subscribe(self._changed.set)
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                try:
                    await self.step(tasks)
                    self._state.operations.refresh()
                    await self._state.save()
                except StoreUnavailable as problem:
                    log.error("the fleet cannot be stored, tries again: %s", problem)  # noqa: TRY400 - the message says it all, the trace nothing
                    await asyncio.sleep(self._rules.settings.interval_s)
                await self._pause()

    async def step(self, tasks: asyncio.TaskGroup) -> None:
        """Decide once about each replica; what takes time goes on in ``tasks``.

        Raises:
            StoreUnavailable: what was decided is not stored yet; the next step stores it.
        """
        while self._to_end:
            self._begin(self._to_end.pop(), self._launching.end_leftover, tasks)
        while self._to_clear:
            self._begin(self._to_clear.pop(), self._launching.clear, tasks)
        self._count()
        for record, end in await self._ends():
            if self._registry.get(record.id) is record and record.id not in self._busy:
                facts = Facts(
                    self._state.clock(),
                    self._registry.leases(record),
                    end,
                    self._models.settings_of(record.spec.model).hang.restart_trials,
                )
                self._carry_out(record, decide(record, facts, self._rules), tasks)
        await self._state.save()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._rules.settings.interval_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _ends(self) -> list[tuple[ReplicaRecord, Exit | None]]:
        records = [r for r in self._registry.records() if r.id not in self._busy]
        ends = await asyncio.gather(*map(self._end_of, records))
        return list(zip(records, ends, strict=True))

    async def _end_of(self, record: ReplicaRecord) -> Exit | None:
        if record.spec.launcher == STATIC or record.state not in RUNNING:
            return None
        return await self._launching.end_of(record)

    def _count(self) -> None:
        records = self._registry.records()
        for name in dict.fromkeys(
            (*self._models.configured(), *(r.spec.model for r in records))
        ):
            wanted = self._models.wanted(name)
            for record in surplus(records, name, wanted):
                self._registry.update(record.id, desired=Desired.FORGET)
            for _ in range(missing(records, name, wanted)):
                self._add(name)

    def _add(self, name: str) -> None:
        settings = self._models.settings_of(name)
        replica_id = replica_id_of(name, str(self._rules.rng.getrandbits(64)))
        # planned when it is launched: a refusal then shows as this replica's failure
        spec = unplanned(ReplicaSpec(name, settings.source, settings.launcher))
        try:
            self._registry.add(replica_id, spec, f"{name} wants one more replica")
        except ReplicaLimit as full:
            log.error("%s wants one more replica: %s", name, full)  # noqa: TRY400 - the message says it all, the trace nothing

    def _carry_out(
        self, record: ReplicaRecord, action: Action | None, tasks: asyncio.TaskGroup
    ) -> None:
        match action:
            case Move():
                self._move(record, action)
            case Drop():
                self._registry.drop(record.id)
            case Launch():
                self._begin(record.id, self._launching.launch, tasks)
            case Stop():
                self._begin(record.id, self._launching.stop, tasks)
            case Fail(move):
                self._move(record, move)
                self._begin(record.id, self._launching.clear, tasks)
            case None:
                pass

    def _move(self, record: ReplicaRecord, move: Move) -> None:
        self._registry.move(record.id, move.state, move.reason, **move.changes)

    def _begin(
        self,
        replica_id: ReplicaId,
        work: Callable[[ReplicaId], Coroutine[None, None, None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._busy.add(replica_id)
        task = tasks.create_task(self._do(work, replica_id), name=f"reconcile {replica_id}")
        # a callback, no finally: a task that is cancelled before it began runs no code
        task.add_done_callback(lambda _: self._done(replica_id))

    def _done(self, replica_id: ReplicaId) -> None:
        self._busy.discard(replica_id)
        self._changed.set()

    async def _do(
        self, work: Callable[[ReplicaId], Coroutine[None, None, None]], replica_id: ReplicaId
    ) -> None:
        try:
            await work(replica_id)
        except StoreUnavailable as problem:
            log.error("replica %s waits for the store: %s", replica_id, problem)  # noqa: TRY400 - the message says it all, the trace nothing
            await asyncio.sleep(self._rules.settings.interval_s)
