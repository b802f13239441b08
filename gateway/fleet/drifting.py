"""Asks equal replicas the same golden prompts now and then, and says whose answers drift.

Rule: this is never in a request's way. A replica that has much to do is left out of a round,
one round of a model is asked at a time, and no client's figures know of it. What drifts is
reported, and drained only where the configuration says so.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from random import Random

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.core.drift import (
    LEAST_REPLICAS,
    ROUNDS,
    Figures,
    GoldenAnswer,
    compare,
    outvoted,
)
from gateway.fleet.decisions import run_of
from gateway.fleet.errors import FleetError
from gateway.fleet.golden import PROMPTS, NotComparable
from gateway.fleet.prober import Probe
from gateway.fleet.settings import DriftAction, DriftRules
from gateway.fleet.state import FleetState
from gateway.state.store import ReplicaRecord, StoreUnavailable

_LOOK_S = 1.0
_JITTER_SHARE = 0.2
_BUSY_SHARE = 0.25
"""Of the sequences that a replica may have at once: with more it is not asked."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drift:
    """What is known of one replica's answers."""

    rounds: int = 0
    """Drifting rounds in a row."""
    figures: Figures | None = None
    """Of the last round in which it was compared."""
    compared_at: float | None = None
    """Unix seconds."""
    why_not: str = ""
    """Why it was not compared in the last round; empty if it was."""

    @property
    def drifts(self) -> bool:
        """Whether it is reported as drifting."""
        return self.rounds >= ROUNDS


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who is told what comparing finds."""

    compared: Callable[[ReplicaId, Drift], None]
    """Told of each replica's standing after each round."""
    drain: Callable[[str], Awaitable[object]]
    """Takes a replica out of service."""


class Comparing:
    """Compares the replicas of each model, round by round."""

    def __init__(self, state: FleetState, probe: Probe, rng: Random, hearers: Hearers) -> None:
        """Prepare; `run` compares."""
        self._state = state
        self._probe = probe
        self._rng = rng
        self._hearers = hearers
        self._due_at: dict[str, float] = {}
        self._known: dict[ReplicaId, tuple[object, Drift]] = {}
        """With the run of the replica that it was found of."""

    def of(self, record: ReplicaRecord) -> Drift:
        """Return what is known of a replica's answers; of another run of it nothing is."""
        run, drift = self._known.get(record.id, (None, Drift()))
        return drift if run == run_of(record) else Drift()

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for model in self.due():
                await self.round(model)

    def due(self) -> list[str]:
        """Return the models whose turn it is; a model's first turn comes after one pause."""
        at, records = self._state.clock(), self._state.registry.records()
        found = []
        for name in self._state.models.names(records):
            rules = self._rules(name)
            if rules.action is DriftAction.NONE:
                continue
            due_at = self._due_at.setdefault(name, at + self._pause_s(rules))
            if at >= due_at:
                self._due_at[name] = at + self._pause_s(rules)
                found.append(name)
        return found

    async def round(self, model: str) -> None:
        """Ask all replicas of a model that can be compared, and judge."""
        records = self._state.registry.records()
        self._known = {r.id: self._known[r.id] for r in records if r.id in self._known}
        mine = [r for r in records if r.spec.model == model and r.state is S.READY]
        for group in _equals(mine):
            await self._compare(group)

    async def _compare(self, group: list[ReplicaRecord]) -> None:
        if len(group) < LEAST_REPLICAS:
            reason = f"{len(group)} replicas are equal, {LEAST_REPLICAS} are needed"
            for record in group:
                self._skip(record, reason)
            return
        asked = await asyncio.gather(*map(self._ask, group))
        answers = {r.id: found for r, found in zip(group, asked, strict=True) if found}
        figures = compare(answers)
        drifting = outvoted(figures)
        for record in group:
            if record.id in figures:
                drifts = record.id in drifting
                await self._judged(record, figures[record.id], drifts=drifts)
            elif record.id in answers:
                self._skip(record, f"of its equals only {len(answers) - 1} answered")

    async def _ask(self, record: ReplicaRecord) -> list[GoldenAnswer] | None:
        if self._is_busy(record):
            self._skip(record, "it had much to do")
            return None
        url, source = record.url or "", record.spec.source
        try:
            return [await self._probe.golden(url, source, prompt) for prompt in PROMPTS]
        except NotComparable as reason:
            self._skip(record, str(reason))
            return None

    def _is_busy(self, record: ReplicaRecord) -> bool:
        limits = self._state.models.settings_of(record.spec.model).limits
        most = (limits.concurrency or record.spec.concurrency or 0) * _BUSY_SHARE
        return self._state.registry.leases(record) > most

    async def _judged(self, record: ReplicaRecord, figures: Figures, *, drifts: bool) -> None:
        rounds = self.of(record).rounds + 1 if drifts else 0
        drift = Drift(rounds, figures, self._state.clock())
        self._keep(record, drift)
        if not drifts:
            return
        log.warning(
            "replica %s answers unlike its siblings, round %d in a row: %.0f %% of the tokens"
            " agree, log probabilities differ by %.2f",
            record.id,
            rounds,
            figures.agreement * 100,
            figures.difference,
        )
        if drift.drifts and self._rules(record.spec.model).action is DriftAction.DRAIN:
            await self._drain(record.id)

    async def _drain(self, replica_id: ReplicaId) -> None:
        now = self._state.registry.get(replica_id)
        if now is None or now.state is not S.READY:
            return
        log.warning("replica %s drifts: it is drained", replica_id)
        try:
            await self._hearers.drain(replica_id)
        except (FleetError, StoreUnavailable):
            log.exception("replica %s: not drained, the next round tries again", replica_id)

    def _skip(self, record: ReplicaRecord, why: str) -> None:
        before = self.of(record)
        if why != before.why_not:
            log.info("replica %s was not compared with its siblings: %s", record.id, why)
        self._keep(record, replace(before, why_not=why))

    def _keep(self, record: ReplicaRecord, drift: Drift) -> None:
        self._known[record.id] = (run_of(record), drift)
        self._hearers.compared(record.id, drift)

    def _rules(self, model: str) -> DriftRules:
        return self._state.models.settings_of(model).drift

    def _pause_s(self, rules: DriftRules) -> float:
        return rules.every_s * (1 + _JITTER_SHARE * self._rng.uniform(-1, 1))


def _equals(records: list[ReplicaRecord]) -> Iterator[list[ReplicaRecord]]:
    """Yield groups that should answer alike: one checkpoint, one precision, one release."""
    for _, group in groupby(sorted(records, key=_kind), key=_kind):
        yield list(group)


def _kind(record: ReplicaRecord) -> tuple[str, str, str]:
    precision = record.spec.plan.get("precision")
    return record.spec.source, str(precision or ""), record.dialect or ""
