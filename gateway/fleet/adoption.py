"""What a restarted gateway makes of each replica: it goes on, starts again, or is ended.

A record that was READY and still runs stays READY: workers kept serving it while the supervisor
was away, and a snapshot without it would turn requests away. The prober has the last word.
"""

from dataclasses import dataclass

from backends.launcher import Exit, Remedy
from backends.replica import Replica
from backends.replica import ReplicaState as S
from gateway.fleet.decisions import STATIC, Move, Rules, failure
from gateway.state.store import Desired, RecordChanges, ReplicaRecord

_AT_REST = frozenset({S.PENDING, S.BACKOFF, S.FAILED})
_UP = frozenset({S.STARTING, S.LOADING, S.READY, S.UNHEALTHY, S.EJECTED})
_GOES_ON = frozenset(_UP | {S.DRAINING, S.STOPPING, S.LOST})


@dataclass(frozen=True, slots=True)
class Leftover:
    """It runs, but should not: end it, and start nothing under its id before."""


def take_up(
    record: ReplicaRecord, running: Replica | None, end: Exit | None, at: float, rules: Rules
) -> Move | Leftover | None:
    """Return what to do about a record at the start.

    Args:
        record: as the store kept it.
        running: what the launcher found under its id; None if nothing runs.
        end: how the launcher says that it ended; None where it cannot say.
        at: Unix seconds.
        rules: for the pause after a failure.
    """
    if record.spec.launcher == STATIC:
        return None
    if running is None:
        return _gone(record, end, at, rules)
    if record.state not in _GOES_ON:
        return Leftover()
    state = S.LOADING if record.state in {S.STARTING, S.LOST} else record.state
    found = RecordChanges(url=running.url, handle=dict(running.handle))
    return Move(state, "found running after a restart of the gateway", found)


def may_have_remains(record: ReplicaRecord) -> bool:
    """Say whether parts of it may run on although its leader does not, before a next start."""
    return record.spec.launcher != STATIC and record.state in _AT_REST


def _gone(record: ReplicaRecord, end: Exit | None, at: float, rules: Rules) -> Move | None:
    if record.state in _UP:
        if end is not None and end.remedy is Remedy.PERMANENT:
            return failure(record, end, at, rules)
        why = f": {end.message}" if end is not None and end.cause != "unknown" else ""
        # no pause: the gateway, or the whole machine, was away; that is no fault of the replica
        return Move(S.BACKOFF, f"died while away{why}", {"not_before": at})
    if record.state is S.LOST:
        return Move(S.STOPPING, "it has ended while the gateway was away")
    if record.state is S.FAILED and record.desired is Desired.RUN:
        why = "tries again: this machine or the configuration may have changed"
        return Move(S.PENDING, why, {"attempt": 0})
    return None
