"""A gateway in this process, so that a test can change it, before a recorded replica."""

from contextlib import asynccontextmanager
from dataclasses import dataclass

from backends.replica import ReplicaId
from gateway.core.snapshot import ReplicaView
from tests.differential.asking import Asking
from tests.differential.replicas import RecordedReplica
from tests.differential.verdict import Bench
from tests.gateway.data_gateway import gateway_over


@dataclass
class InFront:
    """A recorded replica as the in-process gateway wants its replicas."""

    replica: RecordedReplica
    name: str = "r"
    column: int = 0

    @property
    def view(self):
        return ReplicaView(
            id=ReplicaId(self.name),
            host="127.0.0.1",
            port=self.replica.port,
            source=self.replica.source,
            dialect=self.replica.dialect,
            column=self.column,
        )

    @asynccontextmanager
    async def listening(self):
        yield self


@asynccontextmanager
async def bench_of(replica):
    async with gateway_over(InFront(replica)) as gateway, gateway.serving() as client:
        with Asking() as asking:
            yield Bench(replica, str(client.base_url).rstrip("/"), asking)
