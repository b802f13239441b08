"""``/metrics``: the text that Prometheus scrapes, made of the dumps of all processes.

Rule: rendering happens in a thread of the supervisor, on values that nobody changes any more; a
scrape costs a worker nothing but its dump, and stalls no stream.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.telemetry.fleet_metrics import FleetMetrics
from gateway.telemetry.merge import SUPERVISOR, merge
from gateway.telemetry.processes import process_metrics
from gateway.telemetry.series import Dump, UnreadableDump, read_dump

_LOG = logging.getLogger(__name__)


class Exposition:
    """Renders what all processes counted, once for each scrape."""

    def __init__(self, fleet: FleetMetrics, *, slots: Iterable[str] = ()) -> None:
        """Expose ``fleet`` too, and the interpreter's own metrics.

        The workers of ``slots`` are shown as down until they report.
        """
        self._fleet = fleet
        self._slots = set(slots)
        self._answered: dict[str, Dump] = {}

    def worker_reported(self, slot: str, dump: bytes) -> None:
        """Take what the worker of ``slot`` counted, for the next `render` alone.

        A dump that cannot be read, as of a worker of another version, is as good as none.
        """
        try:
            self._answered[slot] = read_dump(dump)
        except UnreadableDump as unreadable:
            _LOG.warning("the metrics of worker %s are left out: %s", slot, unreadable)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its content type: OpenMetrics if ``accept`` asks for it.

        A worker that did not report since the last call is shown as down, without its series:
        old numbers would look like a worker that serves nothing.
        """
        answered, self._answered = self._answered, {}
        self._slots.update(answered)
        self._fleet.workers_up({slot: slot in answered for slot in self._slots})
        scrape = _Scrape(read_dump(self._fleet.dump()), answered)
        return await asyncio.to_thread(_encode, scrape, accept)


class _Scrape(Collector):
    """The families of one scrape, as the client library collects them."""

    def __init__(self, own: Dump, workers: Mapping[str, Dump]) -> None:
        self._own = own
        self._workers = workers

    @override
    def collect(self) -> Iterator[Metric]:
        yield from merge(self._own, self._workers)
        pids = {slot: dump.pid for slot, dump in self._workers.items()}
        yield from process_metrics({SUPERVISOR: self._own.pid, **pids})


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
