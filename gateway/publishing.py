"""Keep the workers' snapshot and the supervisor's own metrics in step with the fleet.

Changes come in bursts (a replica's start moves it through three states); they are gathered for
an instant, so that each burst is one snapshot.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

from backends.replica import ReplicaId
from gateway.core.snapshot import FleetSnapshot
from gateway.fleet.fleet import Fleet
from gateway.state.hub import Hub
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.fleet_metrics import FleetMetrics

_GATHER_S = 0.01
_SCRAPE_S = 2.0


class Publisher:
    """Publishes a snapshot whenever the fleet or the template changed."""

    def __init__(
        self, fleet: Fleet, hub: Hub, metrics: FleetMetrics, template: FleetSnapshot
    ) -> None:
        """Publish ``fleet`` with everything but its models from ``template``."""
        self._fleet = fleet
        self._hub = hub
        self._metrics = metrics
        self._template = template
        self._shown: set[ReplicaId] = set()
        self._changed = asyncio.Event()
        self._changed.set()
        fleet.subscribe(self._changed.set)

    async def run(self) -> None:
        """Publish until cancelled."""
        version = -1
        while True:
            await self._changed.wait()
            await asyncio.sleep(_GATHER_S)
            self._changed.clear()
            self._show_states()
            snapshot = self._fleet.snapshot(self._template)
            if snapshot.version != version:
                version = snapshot.version
                self._hub.publish(snapshot)

    def drain(self) -> None:
        """Tell workers to answer that they are not ready; published at once."""
        self._template = replace(self._template, draining=True)
        self._hub.publish(self._fleet.snapshot(self._template))

    def _show_states(self) -> None:
        records = self._fleet.replicas()
        for record in records:
            self._metrics.replica_state(record.id, record.state)
        present = {record.id for record in records}
        for gone in self._shown - present:
            self._metrics.forget_replica(gone)
        self._shown = present


def renderer(
    fleet: Fleet, hub: Hub, metrics: FleetMetrics, exposition: Exposition
) -> Callable[[str], Coroutine[None, None, tuple[bytes, str]]]:
    """Return what ``/metrics`` calls: it asks every worker for its numbers, then renders."""

    async def render(accept: str) -> tuple[bytes, str]:
        for slot, dump in (await hub.scrape(_SCRAPE_S)).items():
            exposition.worker_reported(slot, dump)
        for record in fleet.replicas():
            metrics.replica_in_flight(record.id, fleet.in_flight(record.id))
        return await exposition.render(accept)

    return render
