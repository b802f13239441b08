"""What to do next about one replica, from its record and the facts of this moment.

Level-triggered: the same record and facts give the same action, however they came about, so a
crash at any point needs no replay. At most one action for each replica at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from backends.launcher import Exit, Remedy
from backends.replica import ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.core.outlier import Cause
from gateway.fleet.settings import ReconcileSettings
from gateway.state.store import Desired, RecordChanges, ReplicaRecord

STATIC = "static"
"""The launcher of replicas that somebody else runs: probed, never started or stopped."""
RUNNING = frozenset({S.STARTING, S.LOADING, S.READY, S.UNHEALTHY, S.EJECTED, S.DRAINING})
"""States in which something of the replica should run."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one replica now."""

    at: float
    """Unix seconds."""
    leases: int = 0
    exit: Exit | None = None
    """How it ended; None while it runs."""
    hung_trials: int = 0
    """Failed trials after which one that hangs is started again; 0: never."""


@dataclass(frozen=True, slots=True)
class Move:
    """Change the state, and with it other fields of the record."""

    state: S
    reason: str
    changes: RecordChanges = field(default_factory=RecordChanges)


@dataclass(frozen=True, slots=True)
class Launch:
    """Ask the launcher to start it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the launcher to end it; then it is STOPPED, or LOST."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Move on at once, then end what may be left of it."""

    move: Move


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget the record."""


Action = Move | Launch | Stop | Fail | Drop


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions depend on beside record and facts."""

    settings: ReconcileSettings
    rng: Random


def decide(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    """Return what to do now, None to wait."""
    table = _STATIC if record.spec.launcher == STATIC else _OWN
    return table[record.state](record, facts, rules)


def failure(record: ReplicaRecord, end: Exit, at: float, rules: Rules) -> Move:
    """Return where a replica goes that ended by itself: BACKOFF, or FAILED for good."""
    settings = rules.settings
    if end.remedy is Remedy.PERMANENT:
        return Move(S.FAILED, f"{end.cause}: {end.message}", {"attempt": record.attempt + 1})
    attempt = 1 if _was_stable(record, at, settings) else record.attempt + 1
    if attempt >= settings.attempts:
        reason = f"{end.cause}: {end.message} ({attempt} failures in a row)"
        return Move(S.FAILED, reason, {"attempt": attempt})
    pause = backoff_s(attempt, rules)
    reason = f"{end.cause}: {end.message}; next start in {pause:.0f} s"
    return Move(S.BACKOFF, reason, {"attempt": attempt, "not_before": at + pause})


def unplanned(spec: ReplicaSpec) -> ReplicaSpec:
    """Return the specification of a replica that is to be planned when it is launched.

    A plan is as old as the process that it was made for: GPUs, recipes and configuration may be
    others at the next start.
    """
    if spec.launcher == STATIC:
        return spec
    return ReplicaSpec(spec.model, spec.source, spec.launcher)


def backoff_s(attempt: int, rules: Rules) -> float:
    """Return the pause after the ``attempt``-th failure in a row, 1 for the first."""
    settings = rules.settings
    pause = min(settings.backoff_s * 2.0 ** (attempt - 1), settings.backoff_max_s)
    return pause * (1 + settings.jitter_share * rules.rng.uniform(-1, 1))


def since(record: ReplicaRecord) -> float:
    """Return when the replica came into its state, Unix seconds."""
    return record.history[-1].at if record.history else record.created_at


def run_of(record: ReplicaRecord) -> tuple[object, ...]:
    """Tell one run of a replica from the next, and from one under another model."""
    return record.url, record.handle, record.spec.source


def _was_stable(record: ReplicaRecord, at: float, settings: ReconcileSettings) -> bool:
    ready = [e.at for e in record.history if e.state is S.READY]
    starts = [e.at for e in record.history if e.state is S.STARTING]
    this_run = [instant for instant in ready if instant >= max(starts, default=0.0)]
    return bool(this_run) and at - this_run[0] >= settings.stable_s


def _pending(record: ReplicaRecord, _: Facts, __: Rules) -> Action | None:
    return Launch() if record.desired is Desired.RUN else Move(S.STOPPED, "not wanted any more")


def _starting(record: ReplicaRecord, _: Facts, __: Rules) -> Action | None:
    if record.desired is Desired.RUN:
        return Launch()  # the answer was lost: asking again gives the replica already there
    return Move(S.STOPPING, "not wanted any more")


def _loading(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    if record.desired is not Desired.RUN:
        return Move(S.STOPPING, "not wanted any more")
    if facts.exit is not None:
        return Fail(failure(record, facts.exit, facts.at, rules))
    deadline_s = rules.settings.start_deadline_s
    if facts.at - since(record) < deadline_s:
        return None
    end = Exit(None, "start_deadline", f"it was not ready within {deadline_s:.0f} s")
    return Fail(failure(record, end, facts.at, rules))


def _serving(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    if facts.exit is not None:
        return Fail(failure(record, facts.exit, facts.at, rules))
    return _drain_if_unwanted(record, facts, rules)


def _ejected(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    action = _serving(record, facts, rules)
    hung = record.ejected_for == Cause.HUNG and facts.hung_trials > 0
    if action is None and hung and record.failed_trials >= facts.hung_trials:
        end = Exit(None, "hung", f"it hangs: {record.reason}")
        return Fail(failure(record, end, facts.at, rules))
    return action


def _unhealthy(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    action = _ejected(record, facts, rules)
    if action is None and facts.at - since(record) >= rules.settings.unhealthy_s:
        end = Exit(None, "unhealthy", f"it stayed unhealthy ({record.reason})")
        return Fail(failure(record, end, facts.at, rules))
    return action


def _drain_if_unwanted(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    if record.desired is Desired.RUN:
        return None
    deadline = record.drain_deadline
    if deadline is None:
        deadline = facts.at + rules.settings.drain_s
    return Move(S.DRAINING, "not wanted any more", {"drain_deadline": deadline})


def _draining(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    why = _drained(record, facts, rules)
    return None if why is None else Move(S.STOPPING, why, {"drain_deadline": None})


def _draining_static(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    why = _drained(record, facts, rules)
    return None if why is None else Move(S.STOPPED, why, {"drain_deadline": None})


def _drained(record: ReplicaRecord, facts: Facts, rules: Rules) -> str | None:
    if facts.exit is not None:
        return f"ended while it drained: {facts.exit.message}"
    if facts.leases <= 0 and facts.at - since(record) >= rules.settings.settle_s:
        return "no requests left"
    if record.drain_deadline is not None and facts.at >= record.drain_deadline:
        return f"grace is over with {facts.leases} requests running"
    return None


def _stopping(_: ReplicaRecord, __: Facts, ___: Rules) -> Action | None:
    return Stop()


def _stopped(record: ReplicaRecord, _: Facts, __: Rules) -> Action | None:
    if record.desired is Desired.RUN:
        return Move(S.PENDING, "wanted again", {"spec": unplanned(record.spec)})
    return Drop() if record.desired is Desired.FORGET else None


def _backoff(record: ReplicaRecord, facts: Facts, _: Rules) -> Action | None:
    if record.desired is not Desired.RUN:
        return Move(S.STOPPED, "not wanted any more")
    return Move(S.PENDING, "pause is over") if facts.at >= record.not_before else None


def _failed(record: ReplicaRecord, _: Facts, __: Rules) -> Action | None:
    return None if record.desired is Desired.RUN else Move(S.STOPPED, "not wanted any more")


def _lost(record: ReplicaRecord, facts: Facts, rules: Rules) -> Action | None:
    if facts.at - since(record) < rules.settings.lost_s:
        return None
    return Move(S.STOPPING, "tries again to end it")


def _pending_static(record: ReplicaRecord, _: Facts, __: Rules) -> Action | None:
    if record.desired is Desired.RUN:
        return Move(S.LOADING, "waits for its first answer")
    return Move(S.STOPPED, "not wanted any more")


_Decision = Callable[[ReplicaRecord, Facts, Rules], Action | None]
_OWN: Mapping[S, _Decision] = {
    S.PENDING: _pending,
    S.STARTING: _starting,
    S.LOADING: _loading,
    S.READY: _serving,
    S.UNHEALTHY: _unhealthy,
    S.EJECTED: _ejected,
    S.DRAINING: _draining,
    S.STOPPING: _stopping,
    S.STOPPED: _stopped,
    S.BACKOFF: _backoff,
    S.FAILED: _failed,
    S.LOST: _lost,
}
_STATIC: Mapping[S, _Decision] = {
    **_OWN,
    S.PENDING: _pending_static,
    S.LOADING: _drain_if_unwanted,
    S.READY: _drain_if_unwanted,
    S.UNHEALTHY: _drain_if_unwanted,
    S.EJECTED: _drain_if_unwanted,
    S.DRAINING: _draining_static,
}
"""A static replica never reaches the states that are missing here; `_OWN` fills the table."""
