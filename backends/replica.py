"""What a replica is: one running ``trtllm-serve``, its specification, the states of its life.

Every other module speaks of replicas in these values; the words of `ReplicaState` are the same
in the API, the metrics, the logs and the console.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NewType

ReplicaId = NewType("ReplicaId", str)


class ReplicaState(StrEnum):
    """Where a replica stands in its life."""

    PENDING = "pending"
    """Wanted; nothing was started yet."""
    STARTING = "starting"
    """Handed to its launcher; nothing answers yet."""
    LOADING = "loading"
    """Its process runs and loads weights; its port refuses connections."""
    READY = "ready"
    UNHEALTHY = "unhealthy"
    """Was ready; its probes fail."""
    EJECTED = "ejected"
    """Ready by its probes; the data plane sees it fail requests."""
    DRAINING = "draining"
    """Gets no new requests; its running ones finish."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    BACKOFF = "backoff"
    """Failed in a way that may pass; waits before the next try."""
    FAILED = "failed"
    """Failed in a way that will not pass by itself."""
    LOST = "lost"
    """Its end could not be proven: it may still hold GPUs."""


_S = ReplicaState
TRANSITIONS: Mapping[ReplicaState, frozenset[ReplicaState]] = {
    _S.PENDING: frozenset({_S.STARTING, _S.FAILED, _S.STOPPED, _S.LOADING, _S.READY}),
    _S.STARTING: frozenset(
        {_S.LOADING, _S.READY, _S.BACKOFF, _S.FAILED, _S.STOPPING, _S.DRAINING, _S.LOST}
    ),
    _S.LOADING: frozenset(
        {_S.READY, _S.BACKOFF, _S.FAILED, _S.STOPPING, _S.DRAINING, _S.UNHEALTHY, _S.LOST}
    ),
    _S.READY: frozenset(
        {_S.UNHEALTHY, _S.EJECTED, _S.DRAINING, _S.STOPPING, _S.BACKOFF, _S.FAILED, _S.LOST}
    ),
    _S.UNHEALTHY: frozenset(
        {_S.READY, _S.DRAINING, _S.STOPPING, _S.BACKOFF, _S.FAILED, _S.LOST}
    ),
    _S.EJECTED: frozenset(
        {_S.READY, _S.UNHEALTHY, _S.DRAINING, _S.STOPPING, _S.BACKOFF, _S.FAILED}
    ),
    _S.DRAINING: frozenset({_S.STOPPING, _S.STOPPED, _S.LOST}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.LOST}),
    _S.STOPPED: frozenset({_S.PENDING}),
    _S.BACKOFF: frozenset(
        {_S.PENDING, _S.STARTING, _S.FAILED, _S.STOPPING, _S.STOPPED, _S.DRAINING}
    ),
    _S.FAILED: frozenset({_S.PENDING, _S.STOPPING, _S.STOPPED, _S.DRAINING}),
    _S.LOST: frozenset({_S.STOPPING, _S.STOPPED, _S.LOADING, _S.READY}),
}
"""From each state, the states that may follow.

Source of the words: interfaces, "Replica states".
"""


class IllegalTransition(ValueError):  # noqa: N818 - names the condition
    """A replica was moved to a state that may not follow the one it is in."""


def check_transition(old: ReplicaState, new: ReplicaState) -> None:
    """Allow staying, and the moves of `TRANSITIONS`.

    Raises:
        IllegalTransition: the move is not in the table.
    """
    if new != old and new not in TRANSITIONS[old]:
        raise IllegalTransition(f"a replica cannot go from {old} to {new}")


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """What is to run: all that a launcher needs, decided before anything starts."""

    model: str
    """The gateway's name of the model."""
    source: str
    """The name that requests to this replica carry; ``trtllm-serve`` does not check it."""
    launcher: str
    """``sim``, ``process``, or ``static`` for a replica that somebody else runs."""
    argv: tuple[str, ...] = ()
    """The command.

    ``{port}`` and ``{host}`` stand for what the launcher chooses, ``{file:NAME}`` for the path
    of one of `files`.
    """
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """File name -> text, written beside the replica's log before the start."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs it owns; empty for simulated and static replicas."""
    concurrency: int | None = None
    """Requests that it runs at once (``max_batch_size``); None where unknown."""
    url: str | None = None
    """Where it listens already; only for ``static``."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """The plan that led here, as JSON for people: recipe, precision, reasons, memory fit."""


def spec_hash(spec: ReplicaSpec) -> str:
    """Return a digest of what would run: equal for specifications that start the same thing.

    The plan is left out: other words for the same command are no other replica.
    """
    runs = [spec.source, spec.launcher, spec.argv, dict(spec.env), dict(spec.files), spec.gpus]
    return blake2b(json.dumps(runs, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica that was started, or found running."""

    id: ReplicaId
    url: str
    """``http://host:port``, no slash at the end."""
    handle: Mapping[str, Any] = field(default_factory=dict)
    """What its launcher needs to find it again.

    Pid, start ticks, port, log path, or a container's id.
    """
    spec_hash: str = ""
    """`spec_hash` of the specification that it was started from.

    Empty where it cannot be known.
    """
