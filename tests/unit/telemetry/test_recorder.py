import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry.clocks import Clocks
from gateway.telemetry.log_format import render_json
from gateway.telemetry.logs import Logs
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.otel import OtelTracer
from gateway.telemetry.recorder import Recorder
from tests.fakes.facts import streamed
from tests.fakes.scrape import OPENMETRICS, scrape


@pytest.fixture
def lines():
    return []


@pytest.fixture
def logs(lines):
    logs = Logs(lines.append, render_json, wall=lambda: 1.5, fields={})
    yield logs
    logs.finish(timeout_s=30)


@pytest.fixture
def metrics():
    metrics = RequestMetrics()
    metrics.configure(["llama"], ["r1"], at=0.0)
    return metrics


def test_a_request_shows_in_flight_then_in_metrics_and_log(metrics, logs, lines):
    recorder, facts = Recorder(metrics, logs), streamed()
    recorder.started(facts)
    assert scrape(metrics).value("trtgw_requests_in_flight", model="llama") == 1
    recorder.finished(facts)
    logs.finish(timeout_s=30)
    seen = scrape(metrics)
    assert seen.value("trtgw_requests_in_flight", model="llama") == 0
    assert seen.total("trtgw_requests_total", model="llama", code="200") == 1
    assert b'"request_id":"req-1"' in lines[0]


def test_one_trace_id_leads_from_the_exemplar_to_the_log_line_and_the_span(
    metrics, logs, lines
):
    spans = InMemorySpanExporter()
    tracer = OtelTracer(
        spans, Clocks(lambda: 10.0, lambda: 1_700_000_000.0),
        resource={}, sample_share=1.0, trust_incoming=False,
    )  # fmt: skip
    facts = streamed()
    Recorder(metrics, logs).finished(facts, tracer.begin([], facts))
    tracer.close(timeout_s=30)
    logs.finish(timeout_s=30)
    (span,) = spans.get_finished_spans()
    trace_id = f"{span.context.trace_id:032x}"
    assert f'"trace_id":"{trace_id}"'.encode() in lines[0]
    buckets = scrape(metrics, accept=OPENMETRICS).all(
        "trtgw_time_to_first_token_seconds_bucket"
    )
    assert [s.exemplar.labels["trace_id"] for s in buckets if s.exemplar] == [trace_id]
