"""How many replicas of each model are there, against how many are wanted: pure.

Replicas that failed for good count: starting others in their place would fail in the same way.
"""

from collections.abc import Iterable

from backends.replica import ReplicaState as S
from gateway.fleet.decisions import STATIC
from gateway.state.store import Desired, ReplicaRecord

_FIRST_TO_GO = (
    S.FAILED,
    S.LOST,
    S.BACKOFF,
    S.STOPPED,
    S.PENDING,
    S.STARTING,
    S.STOPPING,
    S.LOADING,
    S.UNHEALTHY,
    S.EJECTED,
    S.DRAINING,
    S.READY,
)
"""States in the order in which surplus replicas are given up: least useful first."""


def counted(record: ReplicaRecord) -> bool:
    """Say whether the replica counts toward what is wanted of its model."""
    return record.spec.launcher != STATIC and record.desired is Desired.RUN


def surplus(records: Iterable[ReplicaRecord], model: str, wanted: int) -> list[ReplicaRecord]:
    """Return the replicas of ``model`` to give up, so that ``wanted`` are left."""
    running = [r for r in records if counted(r) and r.spec.model == model]
    by_use = sorted(running, key=lambda r: (_FIRST_TO_GO.index(r.state), -r.created_at))
    return by_use[: max(len(running) - wanted, 0)]


def missing(records: Iterable[ReplicaRecord], model: str, wanted: int) -> int:
    """Return how many replicas of ``model`` must be made, so that ``wanted`` are there."""
    return max(wanted - sum(counted(r) and r.spec.model == model for r in records), 0)
