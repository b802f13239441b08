"""The fleet as the admin API and the supervisor use it.

Every change is durable before its call returns; what takes time is an `Operation` that goes on
after it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from backends.launcher import LogLine
from backends.replica import ReplicaSpec
from gateway.fleet.planning import CreateRequest
from gateway.state.store import Operation, ReplicaRecord


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model and how many of its replicas are wanted and ready."""

    name: str
    source: str
    aliases: tuple[str, ...]
    launcher: str
    precision: str
    desired: int
    """Replicas that the gateway should run; static ones are not counted."""
    replicas: int
    """Replicas there are, static ones included, whatever their state."""
    ready: int
    loading: int
    """Replicas on their way to READY."""
    min: int
    max: int
    pinned: bool
    """Scaled by hand: the count stays until it is unpinned."""


class Fleet(Protocol):
    """All replicas of this gateway."""

    def replicas(self) -> list[ReplicaRecord]:
        """Return all records, oldest first."""
        ...

    def replica(self, replica_id: str) -> ReplicaRecord:
        """Return one record.

        Raises:
            UnknownReplica: no record has that id.
        """
        ...

    def in_flight(self, replica_id: str) -> int:
        """Return the requests that all workers have open on it.

        Raises:
            UnknownReplica: no record has that id.
        """
        ...

    async def plan(self, request: CreateRequest) -> ReplicaSpec:
        """Return what `create` would start, and start nothing (``dry_run``).

        Raises:
            UnknownModel, UnknownLauncher, PlanRefused: it would not be started.
        """
        ...

    async def create(
        self, request: CreateRequest, idempotency_key: str | None = None
    ) -> Operation:
        """Want one more replica of a model; the same key returns the same operation.

        Raises:
            UnknownModel, UnknownLauncher, PlanRefused, ReplicaLimit: it cannot be started.
            IdempotencyConflict: the key stands for another request.
        """
        ...

    async def drain(self, replica_id: str, grace_s: float | None = None) -> Operation:
        """Want one replica less: no new requests, then stop it, and keep its record.

        Raises:
            UnknownReplica: no record has that id.
        """
        ...

    async def delete(self, replica_id: str, grace_s: float | None = None) -> Operation:
        """Drain, then forget.

        Raises:
            UnknownReplica: no record has that id.
        """
        ...

    async def restart(self, replica_id: str, grace_s: float | None = None) -> Operation:
        """Drain, stop and start again; one that failed is started afresh.

        Raises:
            UnknownReplica: no record has that id.
            NotPossibleNow: somebody else runs it.
        """
        ...

    async def register(self, url: str, model: str | None = None) -> Operation:
        """Serve a replica that somebody else runs; without ``model``, as what it reports to be.

        Raises:
            BadUrl: the address is not ``http://host:port``.
            UnknownModel: ``model`` is not configured.
        """
        ...

    async def unregister(self, replica_id: str) -> Operation:
        """Drain a registered replica and forget it; it runs on.

        Raises:
            UnknownReplica: no record has that id.
            NotPossibleNow: the gateway itself runs it.
        """
        ...

    def models(self) -> list[ModelStatus]:
        """Return all models, in the configuration's order, then discovered ones."""
        ...

    async def scale(self, model: str, replicas: int) -> Operation:
        """Want this many replicas of a model, until `unpin`.

        Raises:
            UnknownModel: no model has that name.
            ReplicaLimit: outside the model's ``min`` to ``max``.
        """
        ...

    async def unpin(self, model: str) -> ModelStatus:
        """Forget a manual scale: the configuration's count holds again.

        Raises:
            UnknownModel: no model has that name.
        """
        ...

    def operations(self) -> list[Operation]:
        """Return the last 1,000 operations, oldest first."""
        ...

    def operation(self, operation_id: str) -> Operation:
        """Return one operation.

        Raises:
            UnknownOperation: no operation has that id.
        """
        ...

    def follow(self, operation_id: str) -> AsyncIterator[Operation]:
        """Yield an operation's progress so far, then each change, until it ended.

        Raises:
            UnknownOperation: no operation has that id; raised by the call itself.
        """
        ...

    def logs(self, replica_id: str, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield its last ``tail`` lines, then with ``follow`` each new one.

        Raises:
            UnknownReplica: no record has that id; raised by the call itself.
            NotPossibleNow: somebody else runs it.
        """
        ...
