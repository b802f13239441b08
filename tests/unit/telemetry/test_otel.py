from contextlib import contextmanager
from random import Random

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.core.outcome import AttemptOutcome, Outcome
from gateway.telemetry import genai
from gateway.telemetry.clocks import Clocks
from gateway.telemetry.otel import OtelTracer, otlp_exporter
from gateway.telemetry.tracecontext import read_trace_context
from tests.fakes.facts import attempt, streamed
from tests.fakes.otlp import attributes, running_collector

PARENT_TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNIX_AT_0 = 1_700_000_000
CANARY = "canary-7f3a"


def parent(flags="01"):
    value = f"00-{PARENT_TRACE}-{PARENT_SPAN}-{flags}".encode()
    return [(b"traceparent", value), (b"tracestate", b"vendor=1")]


@contextmanager
def tracing(*, sample_share=1.0, trust_incoming=False):
    """A tracer, and the collector that has all of its spans once the block has ended."""
    with running_collector() as (collector, url):
        tracer = OtelTracer(
            otlp_exporter(url),
            Clocks(lambda: 10.0, lambda: UNIX_AT_0 + 10.0),
            resource={"service.version": "1.0"},
            sample_share=sample_share,
            trust_incoming=trust_incoming,
            rng=Random(7),
        )
        try:
            yield tracer, collector
        finally:
            tracer.close(timeout_s=30)


def served(tracer, facts, headers=()):
    """Send ``facts`` through the steps of the data plane; return contexts and mark."""
    trace = tracer.begin(headers, facts)
    contexts = []
    for tried in facts.attempts:
        span = trace.attempt(tried)
        contexts.append(read_trace_context([(b"traceparent", span.traceparent)]))
        span.finish(tried)
    return contexts, trace.finish(facts)


def test_a_request_with_a_retry_is_one_server_span_above_two_client_spans():
    failed = attempt(outcome=AttemptOutcome.BROKEN, first_content_at=None)
    with tracing() as (tracer, collector):
        contexts, mark = served(tracer, streamed(attempts=[failed, attempt(2)]))
    first, second, root = collector.spans
    assert (root.name, root.kind) == ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER)
    for span, context in zip((first, second), contexts, strict=True):
        assert (span.name, span.kind) == ("chat llama", Span.SPAN_KIND_CLIENT)
        assert span.parent_span_id == root.span_id
        assert span.trace_id == root.trace_id
        assert int.from_bytes(span.span_id) == context.span_id
        assert context.flags & 1
    assert root.parent_span_id == b""
    assert (first.status.code, second.status.code) == (
        Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET,
    )  # fmt: skip
    assert attributes(first)["error.type"] == "broken"
    assert mark.trace_id == root.trace_id.hex()
    assert mark.at == UNIX_AT_0 + 11.5
    assert collector.schema_urls == {genai.SCHEMA_URL}


def test_a_stream_that_went_on_at_another_replica_says_so_on_that_attempt():
    second = attempt(2, first_content_at=None, started_at=10.5, resumed_after=2)
    with tracing() as (tracer, collector):
        served(tracer, streamed(attempts=[attempt(), second]))
    first, resumed, _ = collector.spans
    assert [event.name for event in first.events] == ["first_token", "last_token"]
    (event,) = resumed.events
    assert (event.name, event.time_unix_nano) == ("resumed", (UNIX_AT_0 * 10 + 105) * 10**8)
    assert attributes(event) == {"trtgw.chunks": 2}


def test_spans_and_their_events_carry_the_instants_of_the_facts():
    with tracing() as (tracer, collector):
        served(tracer, streamed(arrivals=(10.25, 10.5, 11.0)))
    client, server = collector.spans
    seconds = [
        round(ns / 1e9 - UNIX_AT_0, 6)
        for ns in (
            server.start_time_unix_nano, server.end_time_unix_nano,
            client.start_time_unix_nano, client.end_time_unix_nano,
            *(event.time_unix_nano for event in client.events),
        )
    ]  # fmt: skip
    assert seconds == [10.0, 11.5, 10.01, 11.0, 10.25, 11.0]
    assert [event.name for event in client.events] == ["first_token", "last_token"]
    assert attributes(client.events[1]) == {"trtgw.chunks": 3}
    assert attributes(client)["gen_ai.response.finish_reasons"] == ["stop"]
    assert attributes(server)["trtgw.ttft"] == 0.25


def test_an_attempt_at_an_answer_that_is_not_streamed_has_no_last_token():
    facts = streamed(arrivals=(), stream=False, attempts=[attempt()])
    with tracing() as (tracer, collector):
        served(tracer, facts)
    assert [event.name for event in collector.spans[0].events] == ["first_token"]


def test_a_trusted_caller_is_the_parent_and_decides_about_sampling():
    with tracing(sample_share=0.0, trust_incoming=True) as (tracer, collector):
        _, sampled = served(tracer, streamed(), parent("01"))
        (context,), unsampled = served(tracer, streamed(), parent("00"))
    assert f"{context.trace_id:032x}" == PARENT_TRACE
    assert sampled.trace_id == PARENT_TRACE
    assert unsampled is None
    _, root = collector.spans
    assert root.parent_span_id.hex() == PARENT_SPAN
    assert root.trace_state == "vendor=1"


def test_a_caller_that_is_not_trusted_is_linked_to_and_decides_nothing():
    with tracing(sample_share=1.0) as (tracer, collector):
        served(tracer, streamed(), parent("00"))
    _, root = collector.spans
    assert root.trace_id.hex() != PARENT_TRACE
    (link,) = root.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (PARENT_TRACE, PARENT_SPAN)
    assert (root.trace_state, link.trace_state) == ("", "")


def test_a_request_that_is_not_sampled_tells_its_replica_so_and_exports_nothing():
    with tracing(sample_share=0.0) as (tracer, collector):
        (context,), mark = served(tracer, streamed())
    assert context.flags & 1 == 0
    assert mark is None
    assert collector.spans == []


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [
        (Outcome.OK, 200, Status.STATUS_CODE_UNSET),
        (Outcome.CLIENT_ERROR, 400, Status.STATUS_CODE_UNSET),
        (Outcome.CLIENT_DISCONNECT, 499, Status.STATUS_CODE_UNSET),
        (Outcome.STREAM_BROKEN, 200, Status.STATUS_CODE_ERROR),
    ],
)
def test_the_status_says_whether_gateway_or_replica_failed(outcome, code, status):
    with tracing() as (tracer, collector):
        served(tracer, streamed(outcome=outcome, code=code, attempts=[]))
    assert collector.spans[0].status.code == status


def test_nothing_that_a_client_or_a_replica_wrote_is_exported():
    headers = [*parent(), (b"authorization", f"Bearer {CANARY}".encode())]
    headers += [(b"baggage", f"user={CANARY}".encode()), (b"user-agent", CANARY.encode())]
    with tracing(trust_incoming=True) as (tracer, collector):
        served(tracer, streamed(), headers)
    assert collector.bodies
    assert not any(CANARY.encode() in body for body in collector.bodies)


def test_closing_waits_for_a_stuck_collector_only_as_long_as_it_is_told():
    with running_collector() as (collector, url):
        collector.go.clear()
        tracer = OtelTracer(
            otlp_exporter(url), Clocks(lambda: 0.0, lambda: 0.0),
            resource={}, sample_share=1.0, trust_incoming=False, rng=Random(7),
        )  # fmt: skip
        served(tracer, streamed())
        tracer.close(timeout_s=0.05)
        assert collector.spans == []
        collector.go.set()
        tracer.close(timeout_s=30)
