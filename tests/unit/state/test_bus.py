import asyncio

import pytest

from backends.replica import ReplicaId
from gateway.core.outlier import Cause, Outlier
from gateway.core.snapshot import Ejection, FleetSnapshot, ModelView, ReplicaView
from gateway.state.bus import Ejected, Hello, ReplicaFailed
from gateway.state.hub import Hub
from gateway.state.link import Orders, SupervisorLink

pytestmark = pytest.mark.anyio

OUTLIER = Outlier(ReplicaId("r0"), 3, Cause.FAILURE_SHARE, "11 of the last 20")
VIEW = ReplicaView(ReplicaId("r0"), "h", 1, "s", "main", 0, ejections=4)
SNAPSHOT = FleetSnapshot(
    version=1, models={"m": ModelView("m", 1, ejected=(VIEW,), ejection=Ejection(base_s=2))}
)


async def test_an_outlier_and_an_ejected_replica_cross_the_bus_as_they_were(tmp_path):
    failed, outliers, published = [], asyncio.Queue(), asyncio.Queue()
    hub = Hub("g", on_failed=failed.append, on_ejected=outliers.put_nowait)
    await hub.open(tmp_path)
    hub.publish(SNAPSHOT)
    link = SupervisorLink(tmp_path, Hello(0, 1, 1, "g"))
    orders = Orders(published.put_nowait, lambda _: None, lambda _: None, lambda _: None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run(orders))
        async with asyncio.timeout(30):
            assert (await published.get()).snapshot == SNAPSHOT
            link.send(ReplicaFailed("r0"))
            link.send(Ejected(OUTLIER))
            assert await outliers.get() == OUTLIER
        assert failed == ["r0"]
        running.cancel()
    await hub.close()
