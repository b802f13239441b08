"""Ejections: a replica that workers leave out gets no requests until a probe proves it.

Rule: no client's request is the trial. Each ejection and each failed trial doubles the pause
before the next one; a replica that then was READY for the longest pause begins anew.
"""

from collections.abc import Callable
from random import Random

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.core.outlier import Cause, Outlier, pause_s
from gateway.core.snapshot import Ejection
from gateway.fleet.decisions import since
from gateway.fleet.settings import HangRules
from gateway.fleet.state import FleetState
from gateway.state.store import RecordChanges, ReplicaRecord

_JITTER_SHARE = 0.1


CURED = RecordChanges(ejected_for="", failed_trials=0)
"""What changes when a replica is READY again, or a new process."""


def ejection(
    record: ReplicaRecord, rules: Ejection, at: float, rng: Random, cause: str = ""
) -> RecordChanges:
    """Return what changes when a READY replica is ejected ``at`` for ``cause``."""
    served_well = at - since(record) >= rules.max_s
    in_row = 1 if served_well else record.ejected_in_row + 1
    return RecordChanges(
        ejections=record.ejections + 1,
        ejected_in_row=in_row,
        ejected_until=at + _spread_s(in_row, rules, rng),
        ejected_for=cause,
        failed_trials=0,
    )


def one_more(record: ReplicaRecord) -> RecordChanges:
    """Return what changes when a replica that was ejected did not generate when asked to."""
    return RecordChanges(failed_trials=record.failed_trials + bool(record.ejected_for))


def longer(record: ReplicaRecord, rules: Ejection, at: float, rng: Random) -> RecordChanges:
    """Return what changes when an ejected replica failed its trial ``at``."""
    in_row = record.ejected_in_row + 1
    return RecordChanges(
        ejected_in_row=in_row,
        ejected_until=at + _spread_s(in_row, rules, rng),
        failed_trials=record.failed_trials + 1,
    )


def _spread_s(in_row: int, rules: Ejection, rng: Random) -> float:
    # Shorter, never longer: the longest one is a promise.
    return pause_s(rules, in_row - 1) * (1 - _JITTER_SHARE * rng.random())


class Ejections:
    """Takes replicas out and says when they are due to be proven."""

    def __init__(
        self, state: FleetState, rng: Random, told: Callable[[ReplicaId, Cause], None]
    ) -> None:
        """Change the records of ``state``; ``told`` hears of each ejection."""
        self._state = state
        self._rng = rng
        self._told = told

    def eject(self, outlier: Outlier) -> None:
        """Take a replica out, unless it was since, or is not READY for another reason."""
        record = self._state.registry.get(outlier.replica)
        if record is None or record.state is not S.READY:
            return
        if record.ejections != outlier.ejections:  # of a time before it was taken back
            return
        rules, at = self._rules(record), self._state.clock()
        changes = ejection(record, rules, at, self._rng, outlier.cause)
        self._state.registry.move(record.id, S.EJECTED, outlier.why, **changes)
        self._told(record.id, outlier.cause)

    def longer(self, record: ReplicaRecord) -> RecordChanges:
        """Return what changes when ``record``'s replica failed its trial now."""
        return longer(record, self._rules(record), self._state.clock(), self._rng)

    def hang(self, record: ReplicaRecord) -> HangRules:
        """Return when ``record``'s replica hangs."""
        return self._state.models.settings_of(record.spec.model).hang

    def due_s(self, record: ReplicaRecord) -> float:
        """Return in how many seconds an ejected replica is to be proven, 0 if it is now."""
        return max(record.ejected_until - self._state.clock(), 0.0)

    def _rules(self, record: ReplicaRecord) -> Ejection:
        return self._state.models.settings_of(record.spec.model).ejection
