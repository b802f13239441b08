"""What the admin API shows of replicas and models.

Rule: fields are only ever added; a client that knew the older shape must go on working. A
replica's environment is never shown: it may hold secrets.
"""

from dataclasses import asdict
from typing import Any, Generic, TypeVar

import msgspec

from gateway.fleet.fleet import Drift, Fleet
from gateway.fleet.models import ModelStatus
from gateway.state.store import Desired, HistoryEntry, ReplicaRecord

T = TypeVar("T")


class Items(msgspec.Struct, Generic[T], frozen=True):
    """A list, newest last."""

    items: list[T]


class ReplicaSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A replica in a list; instants are Unix seconds."""

    id: str
    model: str
    state: str
    url: str | None
    launcher: str
    in_flight: int
    created_at: float
    desired: str
    """``run``, ``stop`` or ``forget``."""
    reason: str
    """Why it is in its state."""
    source: str
    """The model name that its requests carry."""
    dialect: str | None
    """Release of ``trtllm-serve`` whose contract it speaks; None until it was asked."""
    concurrency: int | None
    gpus: tuple[str, ...]
    attempt: int
    """Starts that failed in a row."""


class DriftView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replica's answers to golden prompts are from its siblings'."""

    drifts: bool
    """It drifted in three rounds in a row."""
    rounds: int
    """Drifting rounds in a row."""
    agreement: float | None
    """Share of its tokens that were its siblings', in the last round; null before the first."""
    logprob_difference: float | None
    """Mean absolute difference of log probabilities, in the last round."""
    compared_at: float | None
    """Unix seconds."""
    why_not: str
    """Why it was left out of the last round; empty if it was not."""


class ReplicaDetail(ReplicaSummary, frozen=True, kw_only=True):
    """A replica looked at closely."""

    plan: dict[str, Any]
    command: tuple[str, ...]
    handle: dict[str, Any]
    """What its launcher finds it by, such as the process id."""
    history: tuple[HistoryEntry, ...]
    drift: DriftView


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its replicas."""

    name: str
    status: str
    """ready, loading, asleep (none is wanted) or down (some are wanted, none is on its way)."""
    source: str
    aliases: tuple[str, ...]
    launcher: str
    precision: str
    desired: int
    replicas: int
    ready: int
    loading: int
    min: int
    max: int
    pinned: bool
    """Scaled by hand."""


def replica_summary(fleet: Fleet, record: ReplicaRecord) -> ReplicaSummary:
    """Show a replica briefly."""
    return ReplicaSummary(**_common(fleet, record))


def replica_detail(fleet: Fleet, record: ReplicaRecord) -> ReplicaDetail:
    """Show all there is to see of a replica."""
    return ReplicaDetail(
        **_common(fleet, record),
        plan=dict(record.spec.plan),
        command=record.spec.argv,
        handle=dict(record.handle),
        history=record.history,
        drift=_drift_view(fleet.drift(record.id)),
    )


def _drift_view(drift: Drift) -> DriftView:
    figures = drift.figures
    return DriftView(
        drifts=drift.drifts,
        rounds=drift.rounds,
        agreement=None if figures is None else figures.agreement,
        logprob_difference=None if figures is None else figures.difference,
        compared_at=drift.compared_at,
        why_not=drift.why_not,
    )


def model_view(fleet: Fleet, status: ModelStatus) -> ModelView:
    """Show a model with its state in one word."""
    if status.ready:
        word = "ready"
    elif status.loading:
        word = "loading"
    else:
        word = "down" if _is_wanted(fleet, status) else "asleep"
    return ModelView(status=word, **asdict(status))


def _is_wanted(fleet: Fleet, status: ModelStatus) -> bool:
    """Whether any replica should run; `ModelStatus.desired` leaves out static ones."""
    return status.desired > 0 or any(
        record.spec.model == status.name and record.desired is Desired.RUN
        for record in fleet.replicas()
    )


def _common(fleet: Fleet, record: ReplicaRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        "id": record.id,
        "model": spec.model,
        "state": record.state.value,
        "url": record.url or spec.url,
        "launcher": spec.launcher,
        "in_flight": fleet.in_flight(record.id),
        "created_at": record.created_at,
        "desired": record.desired.value,
        "reason": record.reason,
        "source": spec.source,
        "dialect": record.dialect,
        "concurrency": spec.concurrency,
        "gpus": spec.gpus,
        "attempt": record.attempt,
    }
