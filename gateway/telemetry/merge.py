"""Lay the dumps of all processes side by side, as families of the Prometheus client.

Rule: nothing is summed. Each worker's series keep their own ``worker`` label, since a sum over
workers makes ``increase()`` wrong as soon as one of them restarts at 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.core import Exemplar as ClientExemplar
from prometheus_client.utils import floatToGoString

from gateway.telemetry.catalogue import CATALOGUE, Family, Filler, Kind
from gateway.telemetry.series import Dump, FamilyDump, HistogramDump, Labels

SUPERVISOR = "supervisor"
"""Value of ``worker`` on what the supervisor counts in a family that workers fill too."""

_NUMBER_FAMILIES: Mapping[Kind, type[CounterMetricFamily] | type[GaugeMetricFamily]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
}


def merge(own: Dump, workers: Mapping[str, Dump]) -> Iterator[Metric]:
    """Yield every family of the catalogue, in its order, each with the series of all processes.

    Args:
        own: the supervisor's dump.
        workers: worker slot -> dump.
    """
    by_name: dict[str, list[tuple[str, FamilyDump]]] = {}
    for slot, dump in ((SUPERVISOR, own), *sorted(workers.items())):
        for part in dump.families:
            by_name.setdefault(part.name, []).append((slot, part))
    for family in CATALOGUE.values():
        yield _family(family, by_name.get(family.name, []))


def _family(family: Family, parts: Sequence[tuple[str, FamilyDump]]) -> Metric:
    names = family.labels
    if family.filler is not Filler.SUPERVISOR:
        names = (*names, "worker")
    if family.kind is Kind.INFO:
        return _info(family, parts)
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(
            family.name, family.meaning, labels=names, unit=_unit(family)
        )
        for slot, part in parts:
            for series in part.histograms:
                labels = _labels(family, part, series.labels, slot)
                histogram.add_metric(labels, _buckets(part.edges, series), series.total)
        return histogram
    plain = _NUMBER_FAMILIES[family.kind](
        family.name, family.meaning, labels=names, unit=_unit(family)
    )
    for slot, part in parts:
        for number_labels, value in part.numbers:
            plain.add_metric(_labels(family, part, number_labels, slot), value)
    return plain


def _info(family: Family, parts: Sequence[tuple[str, FamilyDump]]) -> Metric:
    info = InfoMetricFamily(family.name.removesuffix("_info"), family.meaning)
    for _, part in parts:
        for labels, _ in part.numbers:
            info.add_metric([], dict(zip(part.label_names, labels, strict=True)))
    return info


def _labels(family: Family, part: FamilyDump, values: Labels, slot: str) -> list[str]:
    """Order ``values`` as the catalogue has them: a worker of another version may differ."""
    given = dict(zip(part.label_names, values, strict=True))
    ordered = [given.get(name, "") for name in family.labels]
    return ordered if family.filler is Filler.SUPERVISOR else [*ordered, slot]


def _buckets(
    edges: Sequence[float], series: HistogramDump
) -> list[tuple[str, float] | tuple[str, float, ClientExemplar]]:
    buckets: list[tuple[str, float] | tuple[str, float, ClientExemplar]] = []
    bounds = (*map(floatToGoString, edges), "+Inf")
    for index, (le, count) in enumerate(zip(bounds, accumulate(series.counts), strict=True)):
        mark = series.exemplars.get(index)
        if mark is None:
            buckets.append((le, count))
        else:
            seen = ClientExemplar({"trace_id": mark.trace_id}, mark.value, mark.at)
            buckets.append((le, count, seen))
    return buckets


def _unit(family: Family) -> str:
    """Return the unit where the name ends in it, as OpenMetrics demands; else nothing."""
    return family.unit if family.name.removesuffix("_total").endswith(f"_{family.unit}") else ""
