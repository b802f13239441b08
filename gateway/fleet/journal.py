"""What changed in memory and must still reach the store.

Nothing is started, stopped or promised to a caller before `save` returned: after a crash the
store holds every intention that may have had an effect.
"""

import asyncio

from backends.replica import ReplicaId
from gateway.state.store import Change, ModelDesired, Operation, ReplicaRecord, Store


class Journal:
    """Collects changes, newest of each id, and writes them as one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writing = asyncio.Lock()
        self._replicas: dict[ReplicaId, ReplicaRecord | None] = {}
        self._operations: dict[str, Operation] = {}
        self._models: dict[str, ModelDesired | None] = {}

    def replica(self, replica_id: ReplicaId, record: ReplicaRecord | None) -> None:
        """Note a replica's record; None drops it."""
        self._replicas[replica_id] = record

    def operation(self, operation: Operation) -> None:
        """Note an operation."""
        self._operations[operation.id] = operation

    def model(self, name: str, desired: ModelDesired | None) -> None:
        """Note what is wanted of a model; None forgets it."""
        self._models[name] = desired

    async def save(self) -> None:
        """Write what was noted before this call; at once if another call writes it already.

        Raises:
            StoreUnavailable: nothing was written; the changes stay noted for the next call.
        """
        async with self._writing:
            replicas, self._replicas = self._replicas, {}
            operations, self._operations = self._operations, {}
            models, self._models = self._models, {}
            change = Change(
                replicas=tuple(r for r in replicas.values() if r is not None),
                dropped=tuple(i for i, r in replicas.items() if r is None),
                operations=tuple(operations.values()),
                models=tuple(m for m in models.values() if m is not None),
                undone=tuple(n for n, m in models.items() if m is None),
            )
            written = False
            try:
                if change:
                    await self._store.commit(change)
                written = True
            finally:
                if not written:
                    self._replicas = replicas | self._replicas
                    self._operations = operations | self._operations
                    self._models = models | self._models
