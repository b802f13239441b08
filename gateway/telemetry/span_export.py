"""Send ended spans to a collector from a thread, and count those that did not arrive."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from typing_extensions import override

CAPACITY = 4096
"""Spans that wait for export; beyond that the oldest are thrown away."""


class CountingExporter(SpanExporter):
    """Passes spans to another exporter and counts what it took and what it lost."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Wrap ``exporter``."""
        self._exporter = exporter
        self.taken = 0
        self.lost = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export ``spans``; a batch that failed after the exporter's own retries is lost."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self.lost += len(spans)
        return result

    @override
    def shutdown(self) -> None:
        """End the wrapped exporter, and with it any wait between its retries."""
        self._exporter.shutdown()


class CountingProcessor(BatchSpanProcessor):
    """Batches spans; `dropped` says how many were lost before or while they were exported."""

    def __init__(self, exporter: SpanExporter, *, capacity: int = CAPACITY) -> None:
        """Start the exporting thread."""
        self._exporter = CountingExporter(exporter)
        self._capacity = capacity
        self._waiting_or_taken = 0
        self._overflowed = 0
        super().__init__(self._exporter, max_queue_size=capacity)

    @property
    def dropped(self) -> int:
        """Spans lost since the start."""
        return self._overflowed + self._exporter.lost

    @override
    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span; the oldest one goes when the queue is full."""
        if span.context is not None and span.context.trace_flags.sampled:
            if self._waiting_or_taken - self._exporter.taken >= self._capacity:
                self._overflowed += 1
            else:
                self._waiting_or_taken += 1
        super().on_end(span)
