"""Start and stop replicas through their launchers, and note in the registry how it went.

Whatever a launcher or planner raises ends in a state of that one replica: the others go on.
Nothing is launched before the store holds the intention.
"""

import asyncio
import logging
from collections.abc import Mapping

from backends.launcher import CapacityError, Exit, Launcher, LaunchError, StopNotProven
from backends.replica import Replica, ReplicaId
from backends.replica import ReplicaState as S
from gateway.fleet.decisions import STATIC, Rules, backoff_s, failure
from gateway.fleet.errors import FleetError
from gateway.fleet.planning import Planning, asked_again
from gateway.fleet.state import FleetState
from gateway.state.store import ReplicaRecord

_ANSWER_S = 5.0
"""How long a launcher may take to say whether a replica still runs."""

log = logging.getLogger(__name__)


class Launching:
    """Carries out what was decided about one replica."""

    def __init__(
        self,
        state: FleetState,
        planning: Planning,
        launchers: Mapping[str, Launcher],
        rules: Rules,
    ) -> None:
        self._state = state
        self._registry = state.registry
        self._planning = planning
        self._launchers = launchers
        self._rules = rules

    async def launch(self, replica_id: ReplicaId) -> None:
        """Plan it if need be, and start it: LOADING, BACKOFF or FAILED afterwards.

        Raises:
            StoreUnavailable: nothing was started.
        """
        if not await self._planned(replica_id):
            return
        record = self._registry.move(replica_id, S.STARTING, "handed to its launcher")
        await self._state.save()
        try:
            replica = await self._launcher(record).launch(record.spec, replica_id)
        except CapacityError as full:
            self._no_room(replica_id, str(full))
        except LaunchError as problem:
            self._did_not_start(replica_id, S.FAILED, str(problem))
        except Exception as problem:
            log.exception("replica %s: its launcher broke", replica_id)
            self._broke(replica_id, problem)
        else:
            self._started(replica_id, replica)

    async def stop(self, replica_id: ReplicaId) -> None:
        """End it: STOPPED afterwards, or LOST."""
        problem = await self._end(self._registry.find(replica_id))
        if problem is None:
            self._registry.move(replica_id, S.STOPPED, "stopped", url=None, handle={})
        else:
            self._registry.move(replica_id, S.LOST, problem)

    async def clear(self, replica_id: ReplicaId) -> None:
        """End what may be left of a replica that ended by itself; LOST if that fails."""
        problem = await self._end(self._registry.find(replica_id))
        if problem is None:
            self._registry.update(replica_id, url=None, handle={})
            return
        if self._registry.find(replica_id).state is S.PENDING:  # asked to start again meanwhile
            self._registry.move(replica_id, S.FAILED, problem)
        self._registry.move(replica_id, S.STOPPING, "something of it may still run")
        self._registry.move(replica_id, S.LOST, problem)

    async def end_leftover(self, replica_id: ReplicaId) -> None:
        """End a replica that should not run, whichever launcher has it; try till it is gone."""
        while True:
            problems = [await self._stop(launcher, replica_id) for launcher in self._distinct()]
            lost = [problem for problem in problems if problem is not None]
            if not lost:
                log.warning("replica %s ran without being wanted: ended", replica_id)
                return
            log.error("replica %s should not run and does not end: %s", replica_id, lost[0])
            await asyncio.sleep(self._rules.settings.lost_s)

    async def running(self) -> dict[ReplicaId, Replica]:
        """Return what the launchers find running."""
        return {
            replica.id: replica
            for launcher in self._distinct()
            async for replica in launcher.adopt()
        }

    async def end_of(self, record: ReplicaRecord) -> Exit | None:
        """Return how it ended; None while it runs, or where its launcher cannot say now."""
        launcher = self._launchers.get(record.spec.launcher)
        if launcher is None:
            return None
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await launcher.ended(record.id)
        except Exception as problem:  # noqa: BLE001 - no answer is no proof of an end
            log.warning("replica %s: its launcher does not answer: %r", record.id, problem)
            return None

    async def shut_down(self, record: ReplicaRecord) -> None:
        """End it because the gateway ends; it is wanted again at the next start."""
        if record.spec.launcher == STATIC:
            return
        if record.state not in {S.PENDING, S.STOPPED, S.BACKOFF, S.FAILED}:
            self._registry.move(record.id, S.STOPPING, "the gateway ends")
            await self.stop(record.id)
        elif (problem := await self._end(record)) is not None:
            log.error("replica %s: %s", record.id, problem)

    async def _planned(self, replica_id: ReplicaId) -> bool:
        record = self._registry.find(replica_id)
        if record.spec.argv:
            return True
        try:
            request = asked_again(record)
            async with self._planning.turn():
                spec = await self._planning.plan(request)
                self._registry.update(replica_id, spec=spec)
        except FleetError as refused:
            self._registry.move(replica_id, S.FAILED, str(refused))
        except Exception as problem:
            log.exception("replica %s: its plan broke", replica_id)
            self._registry.move(replica_id, S.FAILED, f"its plan broke: {problem!r}")
        else:
            return True
        return False

    def _started(self, replica_id: ReplicaId, replica: Replica) -> None:
        handle = dict(replica.handle)
        record = self._registry.update(replica_id, url=replica.url, handle=handle)
        if record.state is S.STARTING:  # else it was drained while it started
            self._registry.move(replica_id, S.LOADING, "its process runs and loads")

    def _no_room(self, replica_id: ReplicaId, why: str) -> None:
        pause = backoff_s(1, self._rules)  # not a failure of the replica: not counted
        reason = f"no room: {why}; next try in {pause:.0f} s"
        if self._registry.find(replica_id).state is S.STARTING:
            not_before = self._state.clock() + pause
            self._registry.move(replica_id, S.BACKOFF, reason, not_before=not_before)

    def _broke(self, replica_id: ReplicaId, problem: Exception) -> None:
        record = self._registry.find(replica_id)
        end = Exit(None, "launcher_error", f"its launcher broke: {problem!r}")
        move = failure(record, end, self._state.clock(), self._rules)
        if record.state is S.STARTING:
            self._registry.move(replica_id, move.state, move.reason, **move.changes)

    def _did_not_start(self, replica_id: ReplicaId, state: S, why: str) -> None:
        if self._registry.find(replica_id).state is S.STARTING:
            self._registry.move(replica_id, state, why)

    async def _end(self, record: ReplicaRecord) -> str | None:
        launcher = self._launchers.get(record.spec.launcher)
        if launcher is None:
            return f"there is no launcher {record.spec.launcher!r} to stop it"
        return await self._stop(launcher, record.id)

    async def _stop(self, launcher: Launcher, replica_id: ReplicaId) -> str | None:
        try:
            await launcher.stop(replica_id, grace_s=self._rules.settings.stop_s)
        except StopNotProven as problem:
            return str(problem)
        except Exception as problem:
            log.exception("replica %s: its launcher broke", replica_id)
            return f"its launcher broke: {problem!r}"
        return None

    def _launcher(self, record: ReplicaRecord) -> Launcher:
        return self._launchers[record.spec.launcher]

    def _distinct(self) -> list[Launcher]:
        """Return each launcher once, though it may go by several names."""
        return list({id(launcher): launcher for launcher in self._launchers.values()}.values())
