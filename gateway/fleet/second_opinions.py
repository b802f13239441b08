"""A second opinion on replicas that requests make suspect: each has to generate when asked to.

Suspect is one of which nothing came for a while although it had requests, and one that refuses
more of them than its siblings. Both may be a busy replica's or a client's doing. Rule: only a
replica that does not generate when the gateway itself asks for it is ejected, and not even then
if something came of it meanwhile. Instants are those of the board.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.core.outlier import Cause, Outlier
from gateway.fleet.decisions import run_of
from gateway.fleet.ejecting import Ejections
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.fleet.prober import Probe
from gateway.fleet.state import FleetState
from gateway.state.board import Silence
from gateway.state.store import ReplicaRecord

LOOK_S = 1.0
"""Between two looks at the board; workers write it as often."""

log = logging.getLogger(__name__)


class Opinion(StrEnum):
    """What a second opinion found; the ``result`` label of `trtgw_replica_suspicions_total`."""

    WORKS = "works"
    """It generates: it was only busy, or a client was wrong."""
    FLOWS = "flows"
    """Something came of it while it was asked."""
    FAILS = "fails"
    """It does not generate: it is ejected."""
    UNREACHABLE = "unreachable"
    """It cannot be asked: its ordinary probes will tell."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    record: ReplicaRecord
    cause: Cause
    why: str
    heard_at: float
    """Of the replica, when it became suspect."""
    limit_s: float
    """How long it may take to generate."""


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of opinions."""

    opinion: Callable[[ReplicaId, Cause, Opinion], None]
    suspect: Callable[[str], None]
    """Told of a replica to be probed soon."""


class SecondOpinions:
    """Looks for silent replicas, and asks those that are suspect, each once at a time."""

    def __init__(
        self,
        state: FleetState,
        ejections: Ejections,
        probe: Probe,
        told: Told,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        """Prepare; `run` looks and asks. ``monotonic`` is the clock of the board."""
        self._state = state
        self._ejections = ejections
        self._probe = probe
        self._told = told
        self._monotonic = monotonic
        self._asking: set[ReplicaId] = set()
        self._cleared_at: dict[ReplicaId, float] = {}
        """When a silent replica was last found to be well."""
        self._refused: dict[ReplicaId, Outlier] = {}
        self._changed = asyncio.Event()

    def doubt(self, outlier: Outlier) -> None:
        """Ask a replica soon that refuses more than its siblings; unknown ones are no error."""
        self._refused[outlier.replica] = outlier
        self._changed.set()

    async def run(self) -> None:
        """Look and ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self.look(tasks)
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()
                except TimeoutError:
                    continue
                self._changed.clear()

    def look(self, tasks: asyncio.TaskGroup) -> None:
        """Look at all replicas once; those that are suspect are asked in ``tasks``."""
        records = self._state.registry.records()
        self._cleared_at = {
            r.id: self._cleared_at[r.id] for r in records if r.id in self._cleared_at
        }
        refused, self._refused = self._refused, {}
        for record in records:
            if record.state is not S.READY or record.id in self._asking:
                continue
            doubt = self._refuses(record, refused.get(record.id)) or self._is_silent(record)
            if doubt is not None:
                self._asking.add(record.id)
                tasks.create_task(self._ask(doubt), name=f"second opinion {record.id}")

    def _refuses(self, record: ReplicaRecord, outlier: Outlier | None) -> _Doubt | None:
        if outlier is None or outlier.ejections != record.ejections:
            return None
        limit_s = self._ejections.hang(record).generate_s
        return _Doubt(record, Cause.REFUSED, outlier.why, math.inf, limit_s)

    def _is_silent(self, record: ReplicaRecord) -> _Doubt | None:
        settings, silence = (
            self._state.models.settings_of(record.spec.model),
            self._silence(record),
        )
        rules = settings.hang
        if rules.silent_s is None or silence.since is None:
            return None
        at, since = self._monotonic(), silence.since
        if at - max(since, self._cleared_at.get(record.id, 0.0)) < rules.silent_s:
            return None
        limit_s = rules.generate_s
        if silence.explained:  # it may get its turn no earlier than one of them has ended
            limit_s = max(limit_s, settings.timeouts.total_unstreamed_s)
        requests = self._state.registry.leases(record)
        why = f"nothing came for {at - since:.0f} s of the {requests} requests it has"
        return _Doubt(record, Cause.HUNG, why, silence.heard_at, limit_s)

    async def _ask(self, doubt: _Doubt) -> None:
        record = doubt.record
        try:
            opinion, detail = await self._opinion(doubt)
        finally:
            self._asking.discard(record.id)
        now = self._state.registry.get(record.id)
        if now is None or run_of(now) != run_of(record):
            return
        self._told.opinion(record.id, doubt.cause, opinion)
        if opinion is Opinion.FAILS:
            why = f"{doubt.why}, nor does it generate when asked to: {detail}"
            log.warning("replica %s: %s", record.id, why)
            self._ejections.eject(Outlier(record.id, record.ejections, doubt.cause, why))
            return
        log.info("replica %s: %s; not ejected: %s", record.id, doubt.why, opinion)
        self._cleared_at[record.id] = self._monotonic()
        if opinion is Opinion.UNREACHABLE:
            self._told.suspect(record.id)

    async def _opinion(self, doubt: _Doubt) -> tuple[Opinion, str]:
        record = doubt.record
        asked = asyncio.ensure_future(
            self._probe.works(
                record.url or "",
                record.spec.source,
                generate_s=doubt.limit_s,
                thoroughly=doubt.cause is Cause.REFUSED,
            )
        )
        try:
            while not asked.done() and not self._flows(doubt):
                await asyncio.wait([asked], timeout=LOOK_S)
        finally:
            asked.cancel()  # of no effect if it was answered
        if self._flows(doubt):
            return Opinion.FLOWS, ""
        return _opinion_of(asked.result())

    def _flows(self, doubt: _Doubt) -> bool:
        return self._silence(doubt.record).heard_at > doubt.heard_at

    def _silence(self, record: ReplicaRecord) -> Silence:
        return self._state.registry.silence(record)


def _opinion_of(result: ProbeResult) -> tuple[Opinion, str]:
    match result.outcome:
        case ProbeOutcome.OK:
            return Opinion.WORKS, ""
        case ProbeOutcome.REFUSED:
            return Opinion.UNREACHABLE, ""
        case _:
            return Opinion.FAILS, result.detail
