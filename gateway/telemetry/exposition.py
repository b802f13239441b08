"""``/metrics``: the text that Prometheus scrapes, made of the dumps of all processes.

Rule: rendering happens in a thread of the supervisor, on values that nobody changes any more; a
scrape costs a worker nothing but its dump, and stalls no stream.
"""

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.telemetry.catalogue import CATALOGUE
from gateway.telemetry.fleet_metrics import FleetMetrics
from gateway.telemetry.merge import SUPERVISOR, merge
from gateway.telemetry.processes import process_metrics
from gateway.telemetry.series import Dump, read_dump


class Exposition:
    """Holds the newest dump of each worker and renders the whole."""

    def __init__(self, fleet: FleetMetrics) -> None:
        """Expose ``fleet`` too, and the interpreter's own metrics."""
        self._fleet = fleet
        self._workers: dict[str, Dump] = {}
        self._up: dict[str, bool] = {}

    def worker_reported(self, slot: str, dump: bytes) -> None:
        """Replace what the worker of ``slot`` counted.

        Raises:
            UnreadableDump: ``dump`` is none; the slot keeps what it had.
        """
        self._workers[slot] = read_dump(dump)
        self._up[slot] = True

    def worker_gone(self, slot: str) -> None:
        """Show ``slot`` as down, without its series: its successor starts at 0."""
        self._workers.pop(slot, None)
        self._up[slot] = False

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its content type: OpenMetrics if ``accept`` asks for it."""
        own = read_dump(self._fleet.dump())
        scrape = _Scrape(own, dict(self._workers), dict(self._up))
        return await asyncio.to_thread(_encode, scrape, accept)


class _Scrape(Collector):
    """The families of one scrape, as the client library collects them."""

    def __init__(self, own: Dump, workers: Mapping[str, Dump], up: Mapping[str, bool]) -> None:
        self._own = own
        self._workers = workers
        self._up = up

    @override
    def collect(self) -> Iterator[Metric]:
        for metric in merge(self._own, self._workers):
            if metric.name == "trtgw_worker_up":
                yield self._workers_up()
            else:
                yield metric
        pids = {slot: dump.pid for slot, dump in self._workers.items()}
        yield from process_metrics({SUPERVISOR: self._own.pid, **pids})

    def _workers_up(self) -> Metric:
        family = CATALOGUE["trtgw_worker_up"]
        metric = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
        for slot, up in sorted(self._up.items()):
            metric.add_metric([slot], int(up))
        return metric


def _encode(scrape: _Scrape, accept: str) -> tuple[bytes, str]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(scrape)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    try:
        encoder, content_type = choose_encoder(accept)
    except TypeError:  # a version in ``accept`` that is no number cannot be compared
        encoder, content_type = choose_encoder("")
    return encoder(registry), content_type
