"""Probe every started replica, each in its own task, so that a slow one delays no other.

A result counts only for what was asked: if the replica was moved or started again while its
probe was under way, the result is thrown away.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.core.drift import GoldenAnswer
from gateway.core.outlier import Cause
from gateway.fleet.decisions import run_of
from gateway.fleet.ejecting import CURED, Ejections, one_more
from gateway.fleet.health import PROBED, ProbeOutcome, ProbeResult, Verdict, judge
from gateway.fleet.registry import Registry
from gateway.fleet.settings import ProbeSettings
from gateway.state.store import RecordChanges, ReplicaRecord

_LEAST_PAUSE_S = 0.1
"""Between two probes, however often requests fail."""


class Probe(Protocol):
    """Asks one replica how it is."""

    async def __call__(
        self, url: str, source: str, *, prove: bool, generate_s: float | None = None
    ) -> ProbeResult:
        """Ask for health and model, with ``prove`` also for its version and one token.

        Never raises for what the replica does; ``source`` may be empty where any model will do.
        ``generate_s``: for the token; None: as long as it is always given.
        """
        ...

    async def works(
        self, url: str, source: str, *, generate_s: float, thoroughly: bool
    ) -> ProbeResult:
        """Have it generate: a chat where it has the route for that, else a completion.

        ``thoroughly``: both, several times over. Never raises for what the replica does.
        """
        ...

    async def golden(self, url: str, source: str, prompt: str) -> GoldenAnswer:
        """Return its greedy answer to a prompt, with log probabilities.

        Raises:
            NotComparable: it gave none.
        """
        ...

    async def close(self) -> None:
        """Give back its connections."""
        ...


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who is told what probes find."""

    observe: Callable[[ReplicaId, ProbeOutcome], None]
    """Told of each probe's outcome."""
    discovered: Callable[[ReplicaRecord, str], None]
    """Told the model of a replica whose model was not known."""


class Prober:
    """Keeps one probing task for each replica that can be probed."""

    def __init__(
        self,
        registry: Registry,
        ejections: Ejections,
        probe: Probe,
        settings: ProbeSettings,
        *,
        rng: Random,
        hearers: Hearers,
    ) -> None:
        """Prepare; `run` probes.

        Args:
            registry: where verdicts go.
            ejections: says when an ejected replica is to be proven.
            probe: asks a replica.
            settings: pauses and patience.
            rng: spreads probes in time.
            hearers: told what is found.
        """
        self._registry = registry
        self._ejections = ejections
        self._probe = probe
        self._settings = settings
        self._rng = rng
        self._hearers = hearers
        self._failures: dict[ReplicaId, int] = {}
        self._failed_trials: dict[ReplicaId, int] = {}
        self._probing: set[ReplicaId] = set()
        self._changed = asyncio.Event()
        self._suspected: dict[ReplicaId, asyncio.Event] = {}

    def suspect(self, replica_id: str) -> None:
        """Probe a replica soon, because a request to it failed."""
        suspected = self._suspected.get(ReplicaId(replica_id))
        if suspected is not None:
            suspected.set()

    async def run(self) -> None:
        """Probe until cancelled."""
        self._registry.subscribe(self._changed.set)
        async with asyncio.TaskGroup() as tasks:
            while True:
                for record in self._registry.records():
                    if record.state in PROBED and record.id not in self._probing:
                        self._probing.add(record.id)
                        tasks.create_task(self._watch(record.id), name=f"probe {record.id}")
                await self._changed.wait()
                self._changed.clear()

    async def _watch(self, replica_id: ReplicaId) -> None:
        suspected = self._suspected[replica_id] = asyncio.Event()
        try:
            while (record := self._registry.get(replica_id)) and record.state in PROBED:
                suspected.clear()
                await self.probe_once(record)
                await asyncio.sleep(_LEAST_PAUSE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s(replica_id) - _LEAST_PAUSE_S):
                        await suspected.wait()
        finally:
            del self._suspected[replica_id]
            self._probing.discard(replica_id)
            self._failures.pop(replica_id, None)
            self._failed_trials.pop(replica_id, None)
            self._changed.set()

    async def probe_once(self, record: ReplicaRecord) -> None:
        """Probe one replica and move it as the result says."""
        trial = record.state is S.EJECTED and not self._ejections.due_s(record)
        prove = trial or record.state in {S.LOADING, S.UNHEALTHY} or record.dialect is None
        result = await self._ask(record, prove=prove, trial=trial)
        self._hearers.observe(record.id, result.outcome)
        now = self._registry.get(record.id)
        if now is None or now.state not in PROBED or run_of(now) != run_of(record):
            return
        if result.model is not None and not now.spec.source:
            self._hearers.discovered(now, result.model)
        trial = trial and now.state is S.EJECTED
        failures = self._failed_trials if trial else self._failures
        verdict = self._judge(failures, now, result, trial=trial)
        changes = self._changes(now, verdict, trial=trial)
        changes["dialect"] = result.dialect or now.dialect
        if verdict.state is not S.EJECTED:
            self._failed_trials.pop(now.id, None)
        self._registry.move(now.id, verdict.state, verdict.reason, **changes)

    def _changes(
        self, record: ReplicaRecord, verdict: Verdict, *, trial: bool
    ) -> RecordChanges:
        if record.state is S.LOADING:  # what another process did is not held against a new one
            return CURED | RecordChanges(ejected_in_row=0)
        if verdict.state is S.READY:
            return CURED.copy()
        if trial and verdict.state is S.EJECTED:
            return self._ejections.longer(record)
        return one_more(record) if trial or record.state is S.UNHEALTHY else RecordChanges()

    async def _ask(self, record: ReplicaRecord, *, prove: bool, trial: bool) -> ProbeResult:
        url, source, rules = record.url or "", record.spec.source, self._ejections.hang(record)
        cause = record.ejected_for
        hung = prove and cause == Cause.HUNG
        patience_s = rules.generate_s if hung else None
        result = await self._probe(url, source, prove=prove, generate_s=patience_s)
        if trial and cause == Cause.REFUSED and result.outcome is ProbeOutcome.OK:
            found = await self._probe.works(
                url, source, generate_s=rules.generate_s, thoroughly=True
            )
            if found.outcome is not ProbeOutcome.OK:
                return found
        return result

    def _judge(
        self,
        failures: dict[ReplicaId, int],
        record: ReplicaRecord,
        result: ProbeResult,
        *,
        trial: bool,
    ) -> Verdict:
        verdict = judge(
            record.state,
            record.reason,
            failures.get(record.id, 0),
            result,
            self._settings.failures,
            trial=trial,
        )
        failures[record.id] = verdict.failures
        return verdict

    def _pause_s(self, replica_id: ReplicaId) -> float:
        record = self._registry.get(replica_id)
        ready = record is not None and record.state is S.READY
        pause = self._settings.ready_s if ready else self._settings.loading_s
        pause *= 1 + self._settings.jitter_share * self._rng.uniform(-1, 1)
        if record is not None and record.state is S.EJECTED:
            return min(pause, self._ejections.due_s(record))
        return pause
