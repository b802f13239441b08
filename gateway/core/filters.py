"""Filters narrow the candidates.

Each says nothing of those it leaves, only which may not serve.
"""

from collections.abc import Collection, Sequence

from backends.replica import ReplicaId
from gateway.core.dialect import era
from gateway.core.picking import Candidate


def untried(candidates: Sequence[Candidate], tried: Collection[ReplicaId]) -> list[Candidate]:
    """Leave out the replicas that this request was sent to already."""
    return [c for c in candidates if c.replica.id not in tried]


def not_ejected(
    candidates: Sequence[Candidate], ejected: Collection[ReplicaId], panic_share: float
) -> list[Candidate]:
    """Leave out the replicas that are ejected, unless they are more than ``panic_share``.

    Then the few others would be buried, and the fault may be in the requests.
    """
    others = [c for c in candidates if c.replica.id not in ejected]
    panic = len(candidates) - len(others) > panic_share * len(candidates)
    return list(candidates) if panic else others


def able(candidates: Sequence[Candidate], oldest_era: int) -> list[Candidate]:
    """Leave out the replicas whose dialect is older than the request needs."""
    if oldest_era == 0:
        return list(candidates)
    return [c for c in candidates if era(c.replica.dialect) >= oldest_era]
