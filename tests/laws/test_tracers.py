"""What the data plane relies on, of every tracer."""

from random import Random

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry.clocks import Clocks
from gateway.telemetry.otel import OtelTracer
from gateway.telemetry.passthrough import PassThrough, Untraced
from gateway.telemetry.tracecontext import read_trace_context
from tests.fakes.facts import attempt, streamed

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = [
    (b"traceparent", PARENT), (b"tracestate", b"vendor=1"), (b"baggage", b"user=canary"),
]  # fmt: skip


def otel(*, sample_share, trust_incoming):
    return OtelTracer(
        InMemorySpanExporter(),
        Clocks(lambda: 10.0, lambda: 1_700_000_000.0),
        resource={},
        sample_share=sample_share,
        trust_incoming=trust_incoming,
        rng=Random(7),
    )


TRACERS = {
    "untraced": (Untraced, False),
    "pass-through": (PassThrough, True),
    "all": (lambda: otel(sample_share=1.0, trust_incoming=False), False),
    "none": (lambda: otel(sample_share=0.0, trust_incoming=False), False),
    "trusting": (lambda: otel(sample_share=0.0, trust_incoming=True), True),
}


@pytest.fixture(params=TRACERS)
def kind(request):
    return request.param


@pytest.fixture
def tracer(kind):
    tracer = TRACERS[kind][0]()
    yield tracer
    tracer.close(timeout_s=10)


@pytest.fixture
def trusting(kind):
    return TRACERS[kind][1]


def test_every_attempt_has_a_valid_context_in_the_trace_of_its_request(tracer):
    for headers in ([], HEADERS):
        trace = tracer.begin(headers, streamed())
        if trace is None:
            continue
        for number in (1, 2):
            facts = attempt(number)
            tried = trace.attempt(facts)
            context = read_trace_context([(b"traceparent", tried.traceparent)])
            assert f"{context.trace_id:032x}" == trace.trace_id
            tried.finish(facts)
        trace.finish(streamed())


def test_the_caller_s_trace_goes_on_exactly_if_it_is_trusted(tracer, trusting):
    trace = tracer.begin(HEADERS, streamed())
    assert (trace is not None and trace.trace_id.encode() in PARENT) == trusting
    if trace is not None:
        tried = trace.attempt(attempt())
        assert tried.tracestate == (b"vendor=1" if trusting else b"")
        assert b"canary" not in tried.traceparent + tried.tracestate


def test_a_tracer_that_nobody_overwhelmed_has_dropped_nothing(tracer):
    assert tracer.dropped == 0
