"""The numbers behind the metrics of one process, and the compact form that it hands on.

Rule: counting is a dictionary or list update on the event loop's thread and nothing more; all
formatting happens in the supervisor. A dump carries names, labels and edges, so that a
supervisor may read the dump of a worker that runs an older version.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.telemetry.catalogue import Family, Kind

Labels = tuple[str, ...]


class Exemplar(msgspec.Struct, array_like=True, frozen=True):
    """One observation for which a trace was exported."""

    trace_id: str
    value: float
    at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class TraceMark:
    """The exported trace of a request, for exemplars."""

    trace_id: str
    """32 hexadecimal digits."""
    at: float
    """Unix seconds when the request ended."""


class Histogram:
    """Counts observations by bucket."""

    __slots__ = ("_edges", "counts", "exemplars", "total")

    def __init__(self, edges: tuple[float, ...]) -> None:
        """Count up to each of ``edges``, which must ascend, and past the last."""
        self._edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """The newest of each bucket, by the bucket's index."""

    def observe(self, value: float) -> None:
        """Count one value; an edge belongs to the bucket below it."""
        self.counts[bisect_left(self._edges, value)] += 1
        self.total += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count many values, in a fraction of the time that they take one by one."""
        edges, ordered, seen = self._edges, sorted(values), 0
        while seen < len(ordered):  # once for each bucket that any of them is in
            bucket = bisect_left(edges, ordered[seen])
            upto = (
                bisect_right(ordered, edges[bucket], seen)
                if bucket < len(edges)
                else len(ordered)
            )
            self.counts[bucket] += upto - seen
            seen = upto
        self.total += sum(values)

    def mark(self, exemplar: Exemplar) -> None:
        """Keep ``exemplar``, whose value was observed, for its bucket."""
        self.exemplars[bisect_left(self._edges, exemplar.value)] = exemplar


class HistogramDump(msgspec.Struct, array_like=True, frozen=True):
    """One series of a histogram; ``counts`` are per bucket, not cumulative, +Inf last."""

    labels: Labels
    counts: list[int]
    total: float
    exemplars: dict[int, Exemplar]


class FamilyDump(msgspec.Struct, array_like=True, frozen=True):
    """All series of one metric."""

    name: str
    label_names: Labels
    edges: tuple[float, ...]
    numbers: list[tuple[Labels, float]]
    histograms: list[HistogramDump]


class Dump(msgspec.Struct, array_like=True, frozen=True):
    """All that one process counted."""

    pid: int
    families: list[FamilyDump]


class UnreadableDump(ValueError):  # noqa: N818 - names the condition
    """Bytes that are no dump of any version known here."""


def read_dump(raw: bytes) -> Dump:
    """Decode what `Registry.dump` wrote.

    Raises:
        UnreadableDump: ``raw`` is something else.
    """
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as wrong:
        raise UnreadableDump(f"a process sent metrics that cannot be read: {wrong}") from wrong


_decoder = msgspec.msgpack.Decoder(Dump)
_encoder = msgspec.msgpack.Encoder()


def _drop(series: dict[Labels, Any], at: int, value: str) -> None:
    for labels in [labels for labels in series if labels[at] == value]:
        del series[labels]


class Registry:
    """The series of one process, by family."""

    def __init__(self, families: Iterable[Family]) -> None:
        """Make room for ``families``; there are no series yet."""
        self._families = {family.name: family for family in families}
        self._numbers: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        for family in self._families.values():
            if family.kind is Kind.HISTOGRAM:
                self._histograms[family.name] = {}
            else:
                self._numbers[family.name] = {}

    def numbers(self, name: str) -> dict[Labels, float]:
        """Return the live series of a counter, gauge or info: write to them in place."""
        return self._numbers[name]

    def histogram(self, name: str, *labels: str) -> Histogram:
        """Return the series of ``labels``, made at the first call; keep it where it is hot."""
        series = self._histograms[name]
        found = series.get(labels)
        if found is None:
            found = series[labels] = Histogram(self._families[name].buckets)
        return found

    def forget(self, label: str, value: str) -> None:
        """Drop every series whose ``label`` is ``value``."""
        for name, family in self._families.items():
            if label in family.labels:
                at = family.labels.index(label)
                _drop(self._numbers.get(name, {}), at, value)
                _drop(self._histograms.get(name, {}), at, value)

    def dump(self, pid: int) -> bytes:
        """Encode all series as they stand."""
        families = [
            (
                name,
                family.labels,
                family.buckets,
                list(self._numbers.get(name, {}).items()),
                [
                    (labels, series.counts, series.total, series.exemplars)
                    for labels, series in self._histograms.get(name, {}).items()
                ],
            )
            for name, family in self._families.items()
        ]
        return _encoder.encode((pid, families))
