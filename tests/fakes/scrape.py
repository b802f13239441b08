"""What Prometheus would read."""

import asyncio

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from gateway.telemetry.exposition import Exposition
from gateway.telemetry.fleet_metrics import FleetMetrics

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Scrape:
    """The samples of one scrape."""

    def __init__(self, body, content_type):
        parse = openmetrics if content_type.startswith("application/openmetrics") else plain
        self.families = list(parse(body.decode()))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name, **labels):
        """The only sample of that name whose labels include ``labels``; None without one."""
        found = self.all(name, **labels)
        assert len(found) < 2, found
        return found[0].value if found else None

    def total(self, name, **labels):
        return sum(sample.value for sample in self.all(name, **labels))

    def all(self, name, **labels):
        return [
            sample
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]


def no_fleet():
    return FleetMetrics(version="1.0", revision="abc", python="3.11.2")


def scrape(*workers, at=20.0, fleet=None, accept=""):
    """Render ``workers``, slots 0.., beside ``fleet``, and parse what comes out."""
    exposition = Exposition(fleet or no_fleet())
    for slot, metrics in enumerate(workers):
        exposition.worker_reported(str(slot), metrics.dump(at))
    return Scrape(*asyncio.run(exposition.render(accept)))
