"""A launcher whose processes are entries in a table: they outlive it, as real ones do.

Failures come from a script, in the order in which things are asked. `Host` is the machine: make
a new `FakeLauncher` on the same one to restart the gateway.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from backends.launcher import Exit, LogLine, StopNotProven
from backends.replica import Replica, ReplicaId, ReplicaSpec


class Crash(BaseException):
    """The gateway is killed at this point: nothing of it goes on."""


@dataclass
class Host:
    """What runs: id -> replica, and how those ended that do not."""

    running: dict[ReplicaId, Replica] = field(default_factory=dict)
    remains: set[ReplicaId] = field(default_factory=set)
    """Those whose leader ended while others of its processes go on."""
    ended: dict[ReplicaId, Exit] = field(default_factory=dict)
    starts: list[ReplicaId] = field(default_factory=list)
    stubborn: set[ReplicaId] = field(default_factory=set)
    """Those that do not end when told to."""
    doubled: list[ReplicaId] = field(default_factory=list)
    """Those that were started beside remains of themselves: must stay empty."""

    def kill(self, replica_id: ReplicaId, end: Exit) -> None:
        """Let a replica's leader end by itself."""
        if self.running.pop(replica_id, None):
            self.ended[replica_id] = end
            self.remains.add(replica_id)


class FakeLauncher:
    """Implements `backends.launcher.Launcher`."""

    def __init__(self, host: Host | None = None) -> None:
        self.host = host or Host()
        self.script: list[BaseException | None] = []
        """What each next launch raises; None, or nothing left: it works."""
        self.crash_after_launch = False
        self.stop_error: BaseException | None = None
        self.ended_error: Exception | None = None

    async def launch(self, spec: ReplicaSpec, replica_id: ReplicaId) -> Replica:
        if replica_id in self.host.running:
            return self.host.running[replica_id]
        problem = self.script.pop(0) if self.script else None
        if problem is not None:
            raise problem
        if replica_id in self.host.remains:
            self.host.doubled.append(replica_id)
        self.host.starts.append(replica_id)
        self.host.ended.pop(replica_id, None)
        number = len(self.host.starts)
        replica = Replica(
            replica_id, f"http://127.0.0.1:{20000 + number}", {"pid": number, "argv": spec.argv}
        )
        self.host.running[replica_id] = replica
        if self.crash_after_launch:
            raise Crash
        return replica

    async def stop(self, replica_id: ReplicaId, *, grace_s: float) -> None:  # noqa: ARG002
        if self.stop_error is not None:
            raise self.stop_error
        if replica_id in self.host.stubborn:
            raise StopNotProven(f"{replica_id} does not end")
        self.host.running.pop(replica_id, None)
        self.host.remains.discard(replica_id)

    async def adopt(self) -> AsyncIterator[Replica]:
        for replica in list(self.host.running.values()):
            yield replica

    async def ended(self, replica_id: ReplicaId) -> Exit | None:
        if self.ended_error is not None:
            raise self.ended_error
        if replica_id in self.host.running:
            return None
        return self.host.ended.get(replica_id) or Exit(None, "unknown", "it was never seen")

    async def logs(
        self,
        replica_id: ReplicaId,
        *,
        tail: int,
        follow: bool,  # noqa: ARG002
    ) -> AsyncIterator[LogLine]:
        for number in range(tail):
            yield LogLine(float(number), "stdout", f"{replica_id} line {number}")

    async def close(self) -> None:
        """Give nothing back: the table stays."""
