"""The metrics of one worker: what each request adds, and the dump that goes to the supervisor.

Rule: only `configure` makes series for a model or replica. A request for one that is not
configured counts as ``other``, so that neither a client nor a late answer can mint series.
Series of what is configured no longer are kept for a while, so that their last counts are
scraped, and then go.
"""

import os
from collections import Counter
from collections.abc import Iterable

from gateway.core.operation import OPERATIONS
from gateway.core.outcome import AttemptOutcome, Outcome, RequestFacts
from gateway.telemetry.catalogue import CATALOGUE, OTHER, REJECTION_REASONS, SIGNALS, Filler
from gateway.telemetry.model_series import Counted, ModelSeries
from gateway.telemetry.replica_series import ReplicaSeries
from gateway.telemetry.series import Registry, TraceMark

LINGER_S = 900.0
"""How long the series of a removed model or replica are still exposed."""
_AT_ONCE = 16
"""Finished requests that are counted together, in half the time that they take one by one.

What counting needs is then in the processor's caches. More would not help: it would only hold
up the event loop for longer.
"""
_MANY_GAPS = 256
"""With a stream that has more of them nothing waits any longer: its gaps alone take a while."""

_RETRY_REASONS = (
    AttemptOutcome.CONNECT_ERROR,
    AttemptOutcome.HTTP_5XX,
    AttemptOutcome.TIMEOUT_FIRST_BYTE,
    AttemptOutcome.TIMEOUT_IDLE,
    AttemptOutcome.BROKEN,
)


class RequestMetrics:
    """Counts requests in one worker; every method but `dump` takes microseconds.

    A request that has ended may wait for others to be counted with it, but never past a `dump`.

    All instants (``at``, and those in facts) are on one monotonic clock of the caller's choice.
    """

    def __init__(self, *, linger_s: float = LINGER_S, pid: int | None = None) -> None:
        """Start at 0, with the model and the replica ``other`` alone."""
        self._pid = os.getpid() if pid is None else pid
        self._linger_s = linger_s
        self._registry = registry = Registry(
            family for family in CATALOGUE.values() if family.filler is not Filler.SUPERVISOR
        )
        self._models: dict[str, ModelSeries] = {}
        self._replicas: dict[str, ReplicaSeries] = {}
        self._absent_since: dict[tuple[str, str], float] = {}
        self._live: dict[int, RequestFacts] = {}
        self._counted: dict[int, Counted] = {}
        self._ended: list[tuple[RequestFacts, TraceMark | None]] = []
        self._requests = registry.numbers("trtgw_requests_total")
        self._rejections = registry.numbers("trtgw_rejections_total")
        self._retries = registry.numbers("trtgw_upstream_retries_total")
        self._resumes = registry.numbers("trtgw_upstream_resumes_total")
        self._exhausted = registry.numbers("trtgw_upstream_retries_exhausted_total")
        self._queued = registry.numbers("trtgw_requests_queued")
        self._lag = registry.histogram("trtgw_event_loop_lag_seconds")
        self._pre = registry.histogram("trtgw_overhead_seconds", "pre")
        self._first_chunk = registry.histogram("trtgw_overhead_seconds", "first_chunk")
        for signal in SIGNALS:
            self.dropped(signal, 0)
        self._add_model(OTHER)
        self._add_replica(OTHER)

    def configure(self, models: Iterable[str], replicas: Iterable[str], *, at: float) -> None:
        """Make the series of these models and replicas, and let those of all others go in time.

        Call it with each new snapshot.
        """
        wanted = {("model", name) for name in models} | {("replica", id_) for id_ in replicas}
        for label, name in wanted:
            self._absent_since.pop((label, name), None)
            if label == "model":
                self._add_model(name)
            else:
                self._add_replica(name)
        known = {("model", name) for name in self._models}
        known |= {("replica", id_) for id_ in self._replicas}
        for gone in known - wanted - {("model", OTHER), ("replica", OTHER)}:
            self._absent_since.setdefault(gone, at)

    def admitted(self, facts: RequestFacts) -> None:
        """Count ``facts`` as in flight until `record` gets the same object."""
        self._live[id(facts)] = facts

    def record(self, facts: RequestFacts, mark: TraceMark | None = None) -> None:
        """Count a finished request, admitted or not; ``mark`` names its trace if exported.

        ``facts`` must not change any more.
        """
        self._ended.append((facts, mark))
        if len(self._ended) >= _AT_ONCE or len(facts.gaps_s) > _MANY_GAPS:
            self._count_ended()

    def queued(self, model: str, change: int) -> None:
        """Move the count of requests that wait for admission by ``change``, 1 or -1."""
        _add(self._queued, (self._model_label(model),), change)

    def loop_lag(self, lag_s: float) -> None:
        """Note how late a timer of the event loop fired."""
        self._lag.observe(lag_s)

    def dropped(self, signal: str, total: int) -> None:
        """Set how many ``spans`` or ``logs`` this process has thrown away since its start."""
        self._registry.numbers("trtgw_telemetry_dropped_total")[signal,] = total

    def dump(self, at: float) -> bytes:
        """Bring live requests up to date, drop what lingered long, and encode all series."""
        self._count_ended()
        self._expire(at)
        in_flight = Counter(dict.fromkeys(self._models, 0))
        for key, facts in self._live.items():
            model = self._model_label(facts.model)
            in_flight[model] += 1
            if facts.stream:
                counted = self._counted.setdefault(key, Counted())
                self._models[model].progress(facts, counted)
        self._registry.numbers("trtgw_requests_in_flight").update(
            {(model,): count for model, count in in_flight.items()}
        )
        oldest = next(iter(self._live.values()), None)
        age_s = 0.0 if oldest is None else at - oldest.started_at
        self._registry.numbers("trtgw_oldest_request_age_seconds")[()] = age_s
        return self._registry.dump(self._pid)

    def _model_label(self, model: str) -> str:
        return model if model in self._models else OTHER

    def _count_ended(self) -> None:
        ended, self._ended = self._ended, []
        for facts, mark in ended:
            key = id(facts)
            self._live.pop(key, None)
            model = self._model_label(facts.model)
            self._models[model].finish(facts, self._counted.pop(key, None), mark)
            self._count_fate(facts, model)
            for attempt in facts.attempts:
                series = self._replicas.get(attempt.replica)
                (series or self._replicas[OTHER]).finish(attempt)
                if attempt.resumed_after is not None:
                    _add(self._resumes, (model,))
            if facts.first_relay_s is not None:
                self._first_chunk.observe(facts.first_relay_s)
            if facts.overhead_s is not None:
                self._pre.observe(facts.overhead_s)

    def _count_fate(self, facts: RequestFacts, model: str) -> None:
        stream = "true" if facts.stream else "false"
        labels = (model, facts.operation, stream, str(facts.code), facts.outcome)
        _add(self._requests, labels)
        if facts.rejection is not None:
            _add(self._rejections, (model, facts.rejection))
        for reason in facts.retries:
            _add(self._retries, (model, reason))
        if facts.retries_exhausted:
            _add(self._exhausted, (model,))

    def _add_model(self, name: str) -> None:
        if name in self._models:
            return
        self._models[name] = ModelSeries(self._registry, name)
        self._queued.setdefault((name,), 0)
        self._exhausted.setdefault((name,), 0)
        self._resumes.setdefault((name,), 0)
        for reason in REJECTION_REASONS:
            self._rejections.setdefault((name, reason), 0)
        for reason in _RETRY_REASONS:
            self._retries.setdefault((name, reason.value), 0)
        if name != OTHER:
            for operation in OPERATIONS:
                for stream in ("true", "false") if operation.streams else ("false",):
                    labels = (name, operation.name, stream, "200", Outcome.OK.value)
                    self._requests.setdefault(labels, 0)

    def _add_replica(self, name: str) -> None:
        if name not in self._replicas:
            self._replicas[name] = ReplicaSeries(self._registry, name)

    def _expire(self, at: float) -> None:
        for gone in [
            g for g, since in self._absent_since.items() if at - since > self._linger_s
        ]:
            del self._absent_since[gone]
            label, name = gone
            (self._models if label == "model" else self._replicas).pop(name)
            self._registry.forget(label, name)


def _add(
    series: dict[tuple[str, ...], float], labels: tuple[str, ...], amount: int = 1
) -> None:
    series[labels] = series.get(labels, 0) + amount
