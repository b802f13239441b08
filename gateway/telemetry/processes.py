"""CPU, memory and open files of each process, under the names that all exporters use."""

from collections.abc import Iterator, Mapping
from functools import partial

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric


def process_metrics(pids: Mapping[str, int]) -> Iterator[Metric]:
    """Yield the ``process_*`` families, one series for each of ``pids``: ``worker`` -> pid.

    A process that has just ended is left out.
    """
    merged: dict[str, Metric] = {}
    for slot, pid in pids.items():
        for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            known = merged.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            for sample in metric.samples:
                known.add_sample(sample.name, {**sample.labels, "worker": slot}, sample.value)
    yield from merged.values()
