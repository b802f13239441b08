"""A store that lives as long as its process: for tests, and for a gateway that keeps nothing.

It obeys the same laws as the others, except that nothing is there after a restart.
"""

from backends.replica import ReplicaId
from gateway.state.store import (
    CLAIM_S,
    KEPT_OPERATIONS,
    Change,
    Claim,
    ModelDesired,
    Operation,
    ReplicaRecord,
)


class MemoryStore:
    """A `Store` of dictionaries; no call awaits between two writes, so each is atomic."""

    def __init__(self, instance_id: str = "memory") -> None:
        self._instance_id = instance_id
        self._replicas: dict[ReplicaId, ReplicaRecord] = {}
        self._operations: dict[str, Operation] = {}
        self._models: dict[str, ModelDesired] = {}
        self._claims: dict[str, Claim] = {}
        self._notes: dict[str, str] = {}

    async def instance_id(self) -> str:
        """Return the fleet's id."""
        return self._instance_id

    async def replicas(self) -> list[ReplicaRecord]:
        """Return all records, oldest first."""
        return list(self._replicas.values())

    async def commit(self, change: Change) -> None:
        """Apply the whole change."""
        self._replicas.update((r.id, r) for r in change.replicas)
        for replica_id in change.dropped:
            self._replicas.pop(replica_id, None)
        self._operations.update((o.id, o) for o in change.operations)
        for old in list(self._operations)[:-KEPT_OPERATIONS]:
            del self._operations[old]
        self._models.update((m.name, m) for m in change.models)
        for name in change.undone:
            self._models.pop(name, None)

    async def operations(self) -> list[Operation]:
        """Return the last operations, oldest first."""
        return list(self._operations.values())

    async def models(self) -> list[ModelDesired]:
        """Return what was set for models."""
        return list(self._models.values())

    async def claim(self, claim: Claim) -> Claim:
        """Keep the claim, or return the one that holds its key."""
        held = self._claims.get(claim.key)
        if held is None or held.created_at <= claim.created_at - CLAIM_S:
            self._claims[claim.key] = held = claim
        return held

    async def note(self, name: str, value: str | None = None) -> str | None:
        """Set a named text, or read it."""
        if value is not None:
            self._notes[name] = value
        return self._notes.get(name)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""
