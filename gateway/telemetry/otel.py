"""Spans through the OpenTelemetry SDK: one SERVER span a request, one CLIENT span an attempt.

Rule: nothing is done per chunk. A span is opened with its name and start alone, and gets all
the rest from the facts when it ends. Most requests are not sampled: they never come as far as
the SDK, and only get a context for their replica.
"""

from collections.abc import Mapping
from random import Random
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as SdkTracer

from gateway.core.outcome import AttemptFacts, RequestFacts
from gateway.telemetry import genai, spans
from gateway.telemetry.clocks import Clocks
from gateway.telemetry.series import TraceMark
from gateway.telemetry.span_export import CountingProcessor
from gateway.telemetry.tracecontext import (
    Headers,
    TraceContext,
    read_trace_context,
    traceparent,
)
from gateway.telemetry.tracer import RequestTrace
from gateway.telemetry.unsampled import UnsampledTrace

_ROOT = Context()


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Return an exporter to ``endpoint``; OpenTelemetry's variables add headers and TLS."""
    return OTLPSpanExporter(endpoint=endpoint)


class OtelTracer:
    """Opens spans, samples them, and exports those that are sampled."""

    def __init__(
        self,
        exporter: SpanExporter,
        clocks: Clocks,
        *,
        resource: Mapping[str, str],
        sample_share: float,
        trust_incoming: bool,
        rng: Random,
    ) -> None:
        """Start the exporting thread; ``resource`` says which process the spans come from."""
        self._clocks = clocks
        self._sample_share = sample_share
        self._rng = rng
        self._trust_incoming = trust_incoming
        self._processor = CountingProcessor(exporter)
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON),
            resource=Resource.create(dict(resource)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(
            "gateway.telemetry", resource.get("service.version"), schema_url=genai.SCHEMA_URL
        )

    @property
    def dropped(self) -> int:
        """Spans thrown away since the start: the collector was too slow or failed."""
        return self._processor.dropped

    def begin(self, headers: Headers, facts: RequestFacts) -> RequestTrace:
        """Open a SERVER span, below the caller's if that is trusted, else linked to it."""
        incoming = read_trace_context(headers) if self._trust_incoming else None
        if incoming is None and self._rng.random() >= self._sample_share:
            return UnsampledTrace(self._rng)  # most end here, their headers not even read
        if not self._trust_incoming:
            incoming = read_trace_context(headers)
        parent, links = _ROOT, []
        if incoming is not None:
            remote = _remote(incoming, with_state=self._trust_incoming)
            if self._trust_incoming:
                parent = set_span_in_context(NonRecordingSpan(remote), _ROOT)
            else:
                links.append(Link(remote))
        offset_s = self._clocks.unix_offset_s()
        span = self._tracer.start_span(
            spans.server_name(facts),
            context=parent,
            kind=SpanKind.SERVER,
            links=links,
            start_time=_ns(facts.started_at + offset_s),
        )
        return OtelRequestTrace(self._tracer, span, facts, offset_s)

    def close(self, *, timeout_s: float) -> None:
        """Export what is left, for ``timeout_s`` at most.

        The SDK's own shutdown waits for a request to the collector without end; past the time
        that thread is left behind, which a process that ends may do.
        """
        ending = Thread(target=self._provider.shutdown, name="otel-shutdown", daemon=True)
        ending.start()
        ending.join(timeout_s)


class OtelRequestTrace:
    """A request's span."""

    __slots__ = ("_context", "_offset_s", "_request", "_span", "_tracer")

    def __init__(
        self, tracer: SdkTracer, span: Span, request: RequestFacts, offset_s: float
    ) -> None:
        """Keep what the later steps need; ``offset_s`` turns instants into Unix time."""
        self._tracer = tracer
        self._span = span
        self._request = request
        self._offset_s = offset_s
        self._context = set_span_in_context(span, _ROOT)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, for the log line."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def attempt(self, facts: AttemptFacts) -> "OtelAttemptTrace":
        """Open a CLIENT span below the request's."""
        span = self._tracer.start_span(
            genai.span_name(self._request),
            context=self._context,
            kind=SpanKind.CLIENT,
            start_time=_ns(facts.started_at + self._offset_s),
        )
        return OtelAttemptTrace(span, self._request, self._offset_s)

    def finish(self, facts: RequestFacts) -> TraceMark | None:
        """End the span; return its mark if it is exported."""
        span = self._span
        if not span.is_recording():
            return None
        ended_at = facts.ended_at + self._offset_s
        _end(span, spans.server_attributes(facts), spans.server_error(facts), ended_at)
        return TraceMark(self.trace_id, ended_at)


class OtelAttemptTrace:
    """An attempt's span."""

    __slots__ = ("_offset_s", "_request", "_span")

    def __init__(self, span: Span, request: RequestFacts, offset_s: float) -> None:
        """Keep what `finish` needs."""
        self._span = span
        self._request = request
        self._offset_s = offset_s

    @property
    def traceparent(self) -> bytes:
        """Header value for the request to the replica."""
        context = self._span.get_span_context()
        return traceparent(context.trace_id, context.span_id, int(context.trace_flags))

    @property
    def tracestate(self) -> bytes:
        """Header value: the trusted caller's state; empty without one."""
        state: str = self._span.get_span_context().trace_state.to_header()
        return state.encode("latin-1")

    def finish(self, facts: AttemptFacts) -> None:
        """End the span, with an event for the first token and one for the last."""
        span, request = self._span, self._request
        if not span.is_recording():
            return
        if facts.resumed_after is not None:
            span.add_event(
                "resumed",
                {"trtgw.chunks": facts.resumed_after},
                timestamp=_ns(facts.started_at + self._offset_s),
            )
        first_at = facts.first_content_at
        if first_at is not None:
            span.add_event("first_token", timestamp=_ns(first_at + self._offset_s))
            if request.last_content_at is not None:
                span.add_event(
                    "last_token",
                    {"trtgw.chunks": request.content_events},
                    timestamp=_ns(request.last_content_at + self._offset_s),
                )
        attributes = spans.client_attributes(request, facts)
        _end(span, attributes, spans.client_error(facts), facts.ended_at + self._offset_s)


def _end(
    span: Span,
    attributes: dict[str, genai.AttributeValue],
    error: str | None,
    ended_at: float,
) -> None:
    if error is not None:
        attributes["error.type"] = error
        span.set_status(StatusCode.ERROR)
    span.set_attributes(attributes)
    span.end(_ns(ended_at))


def _ns(unix_s: float) -> int:
    return int(unix_s * 1_000_000_000)


def _remote(context: TraceContext, *, with_state: bool) -> SpanContext:
    state = [context.state.decode("latin-1")] if with_state and context.state else []
    return SpanContext(
        trace_id=context.trace_id,
        span_id=context.span_id,
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header(state),
    )
