"""What the data plane knows of tracing: one span for each request and one for each attempt.

Rule: spans are made of facts alone, so no prompt and no answer can get into one.
Implementations: `passthrough` (nothing is exported) and `otel`.
"""

from typing import Protocol

from gateway.core.outcome import AttemptFacts, RequestFacts
from gateway.telemetry.series import TraceMark
from gateway.telemetry.tracecontext import Headers


class AttemptTrace(Protocol):
    """One attempt's span, open until `finish`."""

    @property
    def traceparent(self) -> bytes:
        """Header value for the request to the replica: its spans hang below the attempt."""
        ...

    @property
    def tracestate(self) -> bytes:
        """Header value; empty when the header is to be left out."""
        ...

    def finish(self, facts: AttemptFacts) -> None:
        """End the span."""
        ...


class RequestTrace(Protocol):
    """One request's span, open until `finish`."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, for the log line."""
        ...

    def attempt(self, facts: AttemptFacts) -> AttemptTrace:
        """Open the span of an attempt that starts now."""
        ...

    def finish(self, facts: RequestFacts) -> TraceMark | None:
        """End the span, after those of all attempts; return its mark if it is exported."""
        ...


class Tracer(Protocol):
    """Opens the spans of requests."""

    @property
    def dropped(self) -> int:
        """Spans thrown away since the start: the collector was too slow or failed."""
        ...

    def begin(self, headers: Headers, facts: RequestFacts) -> RequestTrace | None:
        """Open the span of a request; None when there is nothing to export or to pass on.

        ``facts`` is kept, and read again by each later step.
        """
        ...

    def close(self, *, timeout_s: float) -> None:
        """Export what is left, for ``timeout_s`` at most; blocks, so call it in a thread."""
        ...
