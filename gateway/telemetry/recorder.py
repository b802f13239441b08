"""Record each request once, everywhere: its span, its metrics, its log line."""

from gateway.core.outcome import RequestFacts
from gateway.telemetry.logs import Logs
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.tracer import RequestTrace


class Recorder:
    """Takes the facts of requests."""

    def __init__(self, metrics: RequestMetrics, logs: Logs) -> None:
        """Count in ``metrics``, log to ``logs``."""
        self._metrics = metrics
        self._logs = logs

    def started(self, facts: RequestFacts) -> None:
        """Count an admitted request as in flight; `finished` gets the same object."""
        self._metrics.admitted(facts)

    def finished(self, facts: RequestFacts, trace: RequestTrace | None = None) -> None:
        """Record a request that ended, admitted or not; called once, when its facts are final.

        The span comes first, since its trace becomes an exemplar of the metrics.
        """
        if trace is None:
            self._metrics.record(facts)
            self._logs.request(facts)
        else:
            self._metrics.record(facts, trace.finish(facts))
            self._logs.request(facts, trace.trace_id)
