"""Probe every started replica, each in its own task, so that a slow one delays no other.

A result counts only for what was asked: if the replica was moved or started again while its
probe was under way, the result is thrown away.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Protocol

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.fleet.health import PROBED, ProbeOutcome, ProbeResult, judge
from gateway.fleet.registry import Registry
from gateway.fleet.settings import ProbeSettings
from gateway.state.store import ReplicaRecord

_LEAST_PAUSE_S = 0.1
"""Between two probes, however often requests fail."""


class Probe(Protocol):
    """Asks one replica how it is."""

    async def __call__(self, url: str, source: str, *, prove: bool) -> ProbeResult:
        """Ask for health and model, with ``prove`` also for its version and one token.

        Never raises for what the replica does; ``source`` may be empty where any model will do.
        """
        ...

    async def close(self) -> None:
        """Give back its connections."""
        ...


class Prober:
    """Keeps one probing task for each replica that can be probed."""

    def __init__(
        self,
        registry: Registry,
        probe: Probe,
        settings: ProbeSettings,
        *,
        rng: Random,
        observe: Callable[[ReplicaId, ProbeOutcome], None],
        discovered: Callable[[ReplicaRecord, str], None],
    ) -> None:
        """Prepare; `run` probes.

        Args:
            registry: where verdicts go.
            probe: asks a replica.
            settings: pauses and patience.
            rng: spreads probes in time.
            observe: told of each probe's outcome.
            discovered: told the model of a replica whose model was not known.
        """
        self._registry = registry
        self._probe = probe
        self._settings = settings
        self._rng = rng
        self._observe = observe
        self._discovered = discovered
        self._failures: dict[ReplicaId, int] = {}
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
            self._changed.set()

    async def probe_once(self, record: ReplicaRecord) -> None:
        """Probe one replica and move it as the result says."""
        prove = record.state in {S.LOADING, S.UNHEALTHY} or record.dialect is None
        result = await self._probe(record.url or "", record.spec.source, prove=prove)
        self._observe(record.id, result.outcome)
        now = self._registry.get(record.id)
        if now is None or now.state not in PROBED or _run(now) != _run(record):
            return
        failures = self._failures.get(now.id, 0)
        verdict = judge(now.state, now.reason, failures, result, self._settings.failures)
        self._failures[now.id] = verdict.failures
        if result.model is not None and not now.spec.source:
            self._discovered(now, result.model)
        dialect = result.dialect or now.dialect
        self._registry.move(now.id, verdict.state, verdict.reason, dialect=dialect)

    def _pause_s(self, replica_id: ReplicaId) -> float:
        record = self._registry.get(replica_id)
        ready = record is not None and record.state is S.READY
        pause = self._settings.ready_s if ready else self._settings.loading_s
        return pause * (1 + self._settings.jitter_share * self._rng.uniform(-1, 1))


def _run(record: ReplicaRecord) -> tuple[object, ...]:
    """Tell one run of a replica from the next, and from one under another model."""
    return record.url, record.handle, record.spec.source
