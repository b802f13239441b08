"""Operations: what was asked for and takes time, with its progress told to all who follow.

A follower sees each step once and in order, those before it came included; the step that ended
the operation is the last. Only steps are stored: a share or an ETA is worth no write.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from backends.replica import ReplicaId
from gateway.fleet.decisions import STATIC
from gateway.fleet.errors import UnknownOperation
from gateway.fleet.journal import Journal
from gateway.fleet.models import Models
from gateway.fleet.progress import Scene, advance, loading_s
from gateway.fleet.registry import Registry
from gateway.state.store import KEPT_OPERATIONS, Operation, OperationState

_STEPS = 200
"""Steps of one operation that a late follower still sees."""


class _Trail:
    """The steps of one operation, numbered; progress within a step replaces its last state."""

    def __init__(self, operation: Operation) -> None:
        self.number = 0
        self.steps = [(0, operation)]

    @property
    def last(self) -> Operation:
        return self.steps[-1][1]

    def add(self, operation: Operation) -> None:
        self.number += 1
        if (operation.step, operation.state) == (self.last.step, self.last.state):
            del self.steps[-1]
        self.steps = [*self.steps[-_STEPS:], (self.number, operation)]

    def after(self, number: int) -> list[tuple[int, Operation]]:
        return [step for step in self.steps if step[0] > number]


class Operations:
    """All operations; brought up to date by each change in the registry."""

    def __init__(
        self,
        registry: Registry,
        models: Models,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._models = models
        self._journal = journal
        self._clock = clock
        self._trails: dict[str, _Trail] = {}
        self._changed = asyncio.Event()

    def load(self, operations: list[Operation]) -> None:
        """Take up what the store kept, and follow the registry from now on."""
        self._trails = {operation.id: _Trail(operation) for operation in operations}
        self._registry.subscribe(self.refresh)

    def all(self) -> list[Operation]:
        """Return the operations, oldest first."""
        return [trail.last for trail in self._trails.values()]

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation as it stands, None if it is not known."""
        trail = self._trails.get(operation_id)
        return trail.last if trail else None

    def find(self, operation_id: str) -> Operation:
        """Return an operation as it stands.

        Raises:
            UnknownOperation: it is not known.
        """
        operation = self.get(operation_id)
        if operation is None:
            raise UnknownOperation(operation_id)
        return operation

    def begin(
        self,
        operation_id: str,
        kind: str,
        *,
        replica_id: ReplicaId | None = None,
        model: str | None = None,
    ) -> Operation:
        """Start one, already at the step that the registry shows."""
        at = self._clock()
        operation = Operation(
            id=operation_id,
            kind=kind,
            state=OperationState.RUNNING,
            created_at=at,
            updated_at=at,
            replica_id=replica_id,
            model=model,
        )
        operation = advance(operation, self._scene(operation))
        self._trails[operation_id] = _Trail(operation)
        self._journal.operation(operation)
        for old in list(self._trails)[:-KEPT_OPERATIONS]:
            del self._trails[old]
        return operation

    def refresh(self) -> None:
        """Bring all running operations up to date."""
        for trail in list(self._trails.values()):
            before = trail.last
            if before.state is not OperationState.RUNNING:
                continue
            now = advance(before, self._scene(before))
            if now != before:
                self._advance(trail, replace(now, updated_at=self._clock()))

    def follow(self, operation_id: str) -> AsyncIterator[Operation]:
        """Yield the steps so far, then each new one, until the operation ended.

        Raises:
            UnknownOperation: it is not known; raised by the call itself.
        """
        self.find(operation_id)
        return self._follow(operation_id)

    async def _follow(self, operation_id: str) -> AsyncIterator[Operation]:
        trail, seen = self._trails[operation_id], -1
        while True:
            changed = self._changed
            for number, operation in trail.after(seen):
                seen = number
                yield operation
            if trail.number == seen:
                if trail.last.state is not OperationState.RUNNING:
                    return
                await changed.wait()

    def _advance(self, trail: _Trail, operation: Operation) -> None:
        if (operation.step, operation.state) != (trail.last.step, trail.last.state):
            self._journal.operation(operation)
        trail.add(operation)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _scene(self, operation: Operation) -> Scene:
        records = self._registry.records()
        model = operation.model or ""
        fleet = [r for r in records if r.spec.model == model and r.spec.launcher != STATIC]
        return Scene(
            at=self._clock(),
            record=self._registry.get(operation.replica_id or ""),
            fleet=fleet,
            wanted=self._models.wanted(model),
            load_s=loading_s(fleet),
        )
