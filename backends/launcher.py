"""Launchers start and stop replicas; each kind of host has one.

A launcher knows nothing of routing or health: it turns a `ReplicaSpec` into something that
runs, and stops it again. Whether the replica is *ready* is the prober's question.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from backends.replica import Replica, ReplicaId, ReplicaSpec


class LaunchError(Exception):
    """It could not be started, and trying again will not help; nothing is left running.

    The message says what is missing and what would have been run.
    """


class CapacityError(Exception):
    """The host has no room now; nothing was started; later it may work."""


class StopNotProven(Exception):  # noqa: N818 - names the condition
    """The replica was told to end, by force at last, and something of it still runs."""


class Remedy(StrEnum):
    """What may be done after a replica ended by itself."""

    RETRY = "retry"
    """May pass: start again after a pause."""
    PERMANENT = "permanent"
    """Will not pass until the specification, the token or the machine changes."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a replica ended."""

    code: int | None
    """Exit code, negative for a signal; None where it cannot be known (an adopted process)."""
    cause: str
    """One word for metrics and the API, such as ``gpu_oom`` or ``exited``."""
    message: str
    """One sentence for people, with what to do about it."""
    remedy: Remedy = Remedy.RETRY


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a replica wrote."""

    at: float
    """Unix seconds when the launcher read it."""
    stream: str
    line: str


class Launcher(Protocol):
    """Starts and stops replicas on one kind of host (processes, Docker, Kubernetes)."""

    async def launch(self, spec: ReplicaSpec, replica_id: ReplicaId) -> Replica:
        """Start a replica and return at once, before it is ready.

        Calling again with the same ``replica_id`` returns the replica already there, so a
        caller that lost the answer may repeat the call.

        Raises:
            CapacityError: the host has no room now; nothing was started.
            LaunchError: it failed for good; nothing is left running.
        """
        ...

    async def stop(self, replica_id: ReplicaId, *, grace_s: float) -> None:
        """Ask the replica to end, force it after ``grace_s`` seconds, return when it is gone.

        An unknown ``replica_id`` is no error: stopping twice is the same as once.

        Raises:
            StopNotProven: something of it still runs.
        """
        ...

    def adopt(self) -> AsyncIterator[Replica]:
        """Yield the replicas of this fleet that already run, after a gateway restart."""
        ...

    async def ended(self, replica_id: ReplicaId) -> Exit | None:
        """Say how the replica ended; None while it runs.

        An `Exit` of cause ``unknown`` if it was never seen.
        """
        ...

    def logs(self, replica_id: ReplicaId, *, tail: int, follow: bool) -> AsyncIterator[LogLine]:
        """Yield its last ``tail`` lines.

        Then with ``follow`` each new one until the caller stops.
        """
        ...

    async def close(self) -> None:
        """Release what this object holds on the gateway's side; the replicas go on running."""
        ...
