"""The text of ``/prometheus/metrics``, under the names that each era gives.

Series appear with the first finished request; aborted ones never count. Gauges are those of the
last iteration before a request finished, so they go stale while nothing finishes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from backends.simulator.settings import Settings
from backends.simulator.stats import IterationStats, RequestRecord

_LONG = (
    *(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960),
    *(1920, 7680),
)
_TTFT = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(20, 40, 80, 160, 640, 2560),
)
_TPOT = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20),
    *(40, 80),
)
_PREFILL = (
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640),
    2560,
)


@dataclass(frozen=True, slots=True)
class Span:
    """A histogram of the time between two instants of a request."""

    name: str
    buckets: Sequence[float]
    begin: str
    end: str
    newest: bool = False
    """Only the newest era has it."""
    per_token: bool = False

    def value(self, record: RequestRecord) -> float | None:
        """Return the seconds; None for a request that did not get so far."""
        begin, end = getattr(record, self.begin), getattr(record, self.end)
        if begin is None or end is None:
            return None
        span: float = end - begin
        if not self.per_token:
            return span
        return span / (record.output_tokens - 1) if record.output_tokens > 1 else None


HISTOGRAMS = (
    Span("e2e_request_latency_seconds", _LONG, "arrival_at", "last_token_at"),
    Span("time_to_first_token_seconds", _TTFT, "arrival_at", "first_token_at"),
    Span(
        "time_per_output_token_seconds",
        _TPOT,
        "first_token_at",
        "last_token_at",
        per_token=True,
    ),
    Span("request_queue_time_seconds", _LONG, "arrival_at", "first_scheduled_at"),
    Span(
        "request_prefill_time_seconds",
        _PREFILL,
        "first_scheduled_at",
        "first_token_at",
        newest=True,
    ),
    Span("request_decode_time_seconds", _LONG, "first_token_at", "last_token_at", newest=True),
    Span(
        "request_inference_time_seconds",
        _LONG,
        "first_scheduled_at",
        "last_token_at",
        newest=True,
    ),
)

COUNTERS: Mapping[str, Callable[[RequestRecord], int]] = {
    "prompt_tokens_total": lambda r: r.prompt_tokens,
    "generation_tokens_total": lambda r: r.output_tokens,
    "prompt_cached_tokens_total": lambda r: r.cached_tokens,
    "num_requests_completed_total": lambda _: 1,
    "kv_cache_reused_blocks_total": lambda r: r.reused_blocks,
    "kv_cache_missed_blocks_total": lambda r: r.missed_blocks,
}
"""Counters of the newest era."""

GAUGES: Mapping[str, Callable[[IterationStats], float]] = {
    "kv_cache_hit_rate": lambda s: s.kv_cache.hit_rate,
    "kv_cache_utilization": lambda s: s.kv_cache.used_blocks / max(1, s.kv_cache.max_blocks),
    "num_requests_running": lambda s: s.active_requests,
    "num_requests_waiting": lambda s: s.queued_requests,
    "max_num_active_requests": lambda s: s.max_active_requests,
    "iteration_latency_seconds": lambda s: s.latency_s,
    "kv_cache_max_blocks": lambda s: s.kv_cache.max_blocks,
    "kv_cache_free_blocks": lambda s: s.kv_cache.free_blocks,
    "kv_cache_used_blocks": lambda s: s.kv_cache.used_blocks,
    "kv_cache_tokens_per_block": lambda s: s.kv_cache.tokens_per_block,
    "num_context_requests": lambda s: s.context_requests,
    "num_generation_requests": lambda s: s.generation_requests,
    "num_scheduled_requests": lambda s: s.scheduled_requests,
    "total_context_tokens": lambda s: s.context_tokens,
    "avg_decoded_tokens_per_iter": lambda s: s.decoded_tokens_per_iteration,
}
"""Gauges of the newest era, from the iteration statistics."""


@dataclass(slots=True)
class _Histogram:
    bounds: Sequence[float]
    counts: list[int]
    total: float = 0.0
    observed: int = 0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.total += value
        self.observed += 1
        for at, bound in enumerate(self.bounds):
            if value <= bound:
                self.counts[at] += 1

    def lines(self, name: str, labels: str) -> list[str]:
        """Render the cumulative buckets, the count and the sum."""
        buckets = [
            f'{name}_bucket{{{labels},le="{float(bound)}"}} {float(count)}'
            for bound, count in zip(self.bounds, self.counts, strict=True)
        ]
        last = f'{name}_bucket{{{labels},le="+Inf"}} {float(self.observed)}'
        count = f"{name}_count{{{labels}}} {float(self.observed)}"
        return [*buckets, last, count, f"{name}_sum{{{labels}}} {self.total}"]


@dataclass(slots=True)
class Exposition:
    """The series of one server."""

    settings: Settings
    last_step: IterationStats | None = None
    """The newest iteration; shown only after a request finished."""
    _shown_step: IterationStats | None = None
    _finished: dict[str, int] = field(default_factory=dict)
    _histograms: dict[str, _Histogram] = field(default_factory=dict)
    _counters: dict[str, int] = field(default_factory=dict)

    def observe(self, record: RequestRecord, finish_reason: str) -> None:
        """Count one finished request."""
        newest = self.settings.dialect.engine_metrics
        self._shown_step = self.last_step
        self._finished[finish_reason] = self._finished.get(finish_reason, 0) + 1
        for span in HISTOGRAMS:
            value = span.value(record)
            if value is not None and (newest or not span.newest):
                self._histogram(span.name, span.buckets).observe(value)
        for name, count_of in COUNTERS.items() if newest else ():
            self._counters[name] = self._counters.get(name, 0) + count_of(record)

    def _histogram(self, name: str, bounds: Sequence[float]) -> _Histogram:
        return self._histograms.setdefault(name, _Histogram(bounds, [0] * len(bounds)))

    def render(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        labels, lines = self._labels(), list[str]()
        finished = [
            f"{{{self._labels(finished_reason=reason)}}} {float(number)}"
            for reason, number in self._finished.items()
        ]
        if finished:
            lines += self._family("request_success_total", "counter", finished)
        for name, histogram in self._histograms.items():
            lines += self._head(name, "histogram")
            lines += histogram.lines(self._prefix + name, labels)
        for name, number in self._counters.items():
            lines += self._family(name, "counter", [f"{{{labels}}} {float(number)}"])
        if self._shown_step is not None and self.settings.dialect.engine_metrics:
            for name, value_of in GAUGES.items():
                sample = f"{{{labels}}} {float(value_of(self._shown_step))}"
                lines += self._family(name, "gauge", [sample])
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def _prefix(self) -> str:
        return self.settings.dialect.metric_prefix

    def _labels(self, **more: str) -> str:
        known = self.settings.dialect.metric_labels
        model = self.settings.own_name if known else "undefined"
        engine = "pytorch" if known else "undefined"
        labels = {"engine_type": engine, "model_name": model, **more}
        return ",".join(f'{name}="{labels[name]}"' for name in sorted(labels))

    def _head(self, name: str, kind: str) -> list[str]:
        full = self._prefix + name
        return [f"# HELP {full} Multiprocess metric", f"# TYPE {full} {kind}"]

    def _family(self, name: str, kind: str, samples: Sequence[str]) -> list[str]:
        full = self._prefix + name
        return [*self._head(name, kind), *(full + sample for sample in samples)]
