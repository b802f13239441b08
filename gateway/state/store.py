"""What must outlive a restart: which replicas are wanted, what runs, which operations go on.

Implementations: `sqlite.SqliteStore` (one gateway alone), `memory.MemoryStore` (outlives
nothing) and, for several gateways, Redis. Every method is atomic: after a crash the store holds
a call's whole effect or none of it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypedDict

from backends.replica import ReplicaId, ReplicaSpec, ReplicaState

KEPT_OPERATIONS = 1_000
"""Operations that a store remembers."""
CLAIM_S = 86_400.0
"""Seconds for which a claim holds its key."""


class StoreUnavailable(Exception):  # noqa: N818 - names the condition
    """A call failed and had no effect: a full disk, a lost connection."""


class Desired(StrEnum):
    """What the operator wants of a replica."""

    RUN = "run"
    STOP = "stop"
    """Drain, then stop; keep the record."""
    FORGET = "forget"
    """Drain, then stop, then drop the record."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a replica's state; ``at`` in Unix seconds."""

    at: float
    state: ReplicaState
    reason: str


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """A replica as the store knows it, replaced whole.

    `generation` grows with each change of `spec` or `desired`.
    """

    id: ReplicaId
    spec: ReplicaSpec
    desired: Desired
    state: ReplicaState
    created_at: float
    request: dict[str, Any] = field(default_factory=dict)
    """What was asked for beside the model, as JSON: a later start plans from it anew."""
    generation: int = 1
    url: str | None = None
    handle: dict[str, Any] = field(default_factory=dict)
    column: int | None = None
    """Its column on the in-flight board while it may have requests."""
    dialect: str | None = None
    """Era of its wire contract, from its ``/version``; None until probed."""
    attempt: int = 0
    """Starts that failed in a row."""
    not_before: float = 0.0
    """Unix seconds before which a replica in BACKOFF is not started."""
    drain_deadline: float | None = None
    """Unix seconds when a draining replica is stopped with requests still running."""
    ejections: int = 0
    """How often it was ejected, in all its life."""
    ejected_in_row: int = 0
    """Ejections and failed trials, with no good time between."""
    ejected_for: str = ""
    """Why it was ejected (`core.outlier.Cause`), until it is READY again or a new process."""
    failed_trials: int = 0
    """Since then: how often it was to generate something and did not."""
    ejected_until: float = 0.0
    """Unix seconds before which an EJECTED replica is not proven."""
    reason: str = ""
    """Why it is in its state, for people."""
    history: tuple[HistoryEntry, ...] = ()
    """Newest last, the last 50."""


class RecordChanges(TypedDict, total=False):
    """Fields of a `ReplicaRecord` that change during its life, beside its state."""

    spec: ReplicaSpec
    desired: Desired
    url: str | None
    handle: dict[str, Any]
    dialect: str | None
    attempt: int
    not_before: float
    drain_deadline: float | None
    ejections: int
    ejected_in_row: int
    ejected_until: float
    ejected_for: str
    failed_trials: int


class OperationState(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that was asked for and takes time; ``GET /admin/operations/{id}``."""

    id: str
    kind: str
    """``create``, ``drain``, ``delete``, ``restart``, ``register``, ``scale``."""
    state: OperationState
    created_at: float
    updated_at: float
    replica_id: ReplicaId | None = None
    model: str | None = None
    progress: float | None = None
    """0 to 1; None where it cannot be known."""
    step: str = ""
    eta_s: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ModelDesired:
    """How many replicas of a model are wanted, and who said so."""

    name: str
    replicas: int
    pinned: bool = False
    """Set by a manual scale; cleared by ``DELETE /admin/models/{name}/scale``."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What an ``Idempotency-Key`` stands for."""

    key: str
    fingerprint: str
    """Digest of the method, path and body that first used the key."""
    operation_id: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Change:
    """What one `Store.commit` writes; records replace those of the same id or name."""

    replicas: tuple[ReplicaRecord, ...] = ()
    dropped: tuple[ReplicaId, ...] = ()
    """Ids whose records are removed; unknown ones are no error."""
    operations: tuple[Operation, ...] = ()
    models: tuple[ModelDesired, ...] = ()
    undone: tuple[str, ...] = ()
    """Models whose `ModelDesired` is removed: the configuration's count holds again."""

    def __bool__(self) -> bool:
        """Say whether there is anything to write."""
        return bool(
            self.replicas or self.dropped or self.operations or self.models or self.undone
        )


class Store(Protocol):
    """Keeps records; see the module's rule on atomicity."""

    async def instance_id(self) -> str:
        """Return this fleet's id, made once and kept for ever."""
        ...

    async def replicas(self) -> list[ReplicaRecord]:
        """Return all records, oldest first."""
        ...

    async def commit(self, change: Change) -> None:
        """Apply all of ``change`` at once: what belongs together survives a crash together."""
        ...

    async def operations(self) -> list[Operation]:
        """Return the last `KEPT_OPERATIONS` operations, oldest first."""
        ...

    async def models(self) -> list[ModelDesired]:
        """Return what the admin API set for models."""
        ...

    async def claim(self, claim: Claim) -> Claim:
        """Keep ``claim`` unless one of the 24 h before holds its key; return the holder."""
        ...

    async def note(self, name: str, value: str | None = None) -> str | None:
        """Set a named text when ``value`` is given; return what stands, None if unset."""
        ...

    async def close(self) -> None:
        """Release the file or the connections."""
        ...
