"""How far an operation is, from the replicas it acts on: pure.

An operation holds no progress of its own, so it can be taken up after a restart of the gateway.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from backends.replica import ReplicaState as S
from gateway.fleet.decisions import since
from gateway.state.store import Desired, Operation, OperationState, ReplicaRecord

BRINGS_UP = frozenset({"create", "restart", "register"})
"""Kinds that are done when their replica is READY; the others, when it is gone."""
_SHARES = {
    S.DRAINING: 0.05,
    S.STOPPING: 0.1,
    S.STOPPED: 0.15,
    S.PENDING: 0.2,
    S.STARTING: 0.25,
    S.LOADING: 0.3,
}
"""Share of a start, or a restart, that is done on entering a state; loading is the rest."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What an operation is judged by."""

    at: float
    """Unix seconds."""
    record: ReplicaRecord | None
    """Its replica; None when it has none, or it was forgotten."""
    fleet: Sequence[ReplicaRecord]
    """All replicas of its model that the gateway runs."""
    wanted: int
    """How many of them should run."""
    load_s: float | None
    """How long loading takes, as seen before; None if never seen."""


def advance(operation: Operation, scene: Scene) -> Operation:
    """Return a running operation as it stands now; the same value if nothing changed."""
    if operation.kind == "scale":
        return _scale(operation, scene)
    if operation.kind in BRINGS_UP:
        return _start(operation, scene)
    return _end(operation, scene)


def loading_s(records: Sequence[ReplicaRecord]) -> float | None:
    """Return the median time from LOADING to READY in these replicas' histories."""
    took = [
        after.at - before.at
        for record in records
        for before, after in zip(record.history, record.history[1:], strict=False)
        if (before.state, after.state) == (S.LOADING, S.READY)
    ]
    return median(took) if took else None


def _start(operation: Operation, scene: Scene) -> Operation:
    record = scene.record
    if record is None:
        return _failed(operation, "the replica was deleted before it was ready")
    if record.state in {S.READY, S.EJECTED}:
        return _done(operation, "ready")
    if record.state is S.FAILED:
        return _failed(operation, record.reason)
    if record.desired is not Desired.RUN:
        return _failed(operation, "the replica is not wanted any more")
    share = _SHARES.get(record.state)
    eta_s = scene.load_s if record.state in {S.PENDING, S.STARTING} else None
    if record.state is S.LOADING and scene.load_s:
        gone = min((scene.at - since(record)) / scene.load_s, 0.99)
        share = round(_SHARES[S.LOADING] + (1 - _SHARES[S.LOADING]) * gone, 2)
        eta_s = round(scene.load_s * (1 - gone), 1)
    return replace(operation, step=_step(record), progress=share, eta_s=eta_s)


def _end(operation: Operation, scene: Scene) -> Operation:
    record = scene.record
    if record is None:
        return _done(operation, "forgotten")
    if record.state is S.STOPPED and record.desired is Desired.STOP:
        return _done(operation, "stopped")
    if record.desired is Desired.RUN:
        return _failed(operation, "the replica is wanted again")
    eta_s = None
    if record.state is S.DRAINING and record.drain_deadline is not None:
        eta_s = round(max(0.0, record.drain_deadline - scene.at), 1)  # at the latest
    share = {S.DRAINING: 0.1, S.STOPPING: 0.8, S.STOPPED: 0.9}.get(record.state)
    return replace(operation, step=_step(record), progress=share, eta_s=eta_s)


def _scale(operation: Operation, scene: Scene) -> Operation:
    kept = [r for r in scene.fleet if r.desired is Desired.RUN]
    ready = sum(r.state is S.READY for r in kept)
    leaving = len(scene.fleet) - len(kept)
    failed = [r for r in kept if r.state is S.FAILED]
    if ready + len(failed) == len(kept) == scene.wanted and not leaving:
        if failed:
            return _failed(operation, f"replica {failed[0].id} failed: {failed[0].reason}")
        return _done(operation, f"{ready} ready")
    step = f"{ready} of {scene.wanted} ready" + (f", {leaving} leaving" if leaving else "")
    # Ready ones beyond the wanted are still to go: they are no progress.
    share = round(min(ready, scene.wanted) / max(len(kept), scene.wanted, 1), 2)
    share = round(share * len(kept) / (len(kept) + leaving), 2) if leaving and kept else share
    return replace(operation, step=step, progress=share, eta_s=scene.load_s)


def _step(record: ReplicaRecord) -> str:
    return f"{record.state}: {record.reason}" if record.reason else str(record.state)


def _done(operation: Operation, step: str) -> Operation:
    return replace(
        operation, state=OperationState.DONE, progress=1.0, step=step, eta_s=None, error=None
    )


def _failed(operation: Operation, error: str) -> Operation:
    return replace(
        operation, state=OperationState.FAILED, step="failed", eta_s=None, error=error
    )
