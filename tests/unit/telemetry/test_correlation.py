"""From a number to the requests behind it."""

from random import Random

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.telemetry.clocks import Clocks
from gateway.telemetry.log_format import JsonLines
from gateway.telemetry.logs import Logs
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.otel import OtelTracer
from tests.fakes.facts import streamed
from tests.fakes.scrape import OPENMETRICS, scrape


def test_one_trace_id_leads_from_the_exemplar_to_the_log_line_and_the_span():
    exported, lines, metrics, facts = InMemorySpanExporter(), [], RequestMetrics(), streamed()
    logs = Logs(lines.append, JsonLines({}), wall=lambda: 1.5)
    tracer = OtelTracer(
        exported, Clocks(lambda: 10.0, lambda: 1_700_000_000.0),
        resource={}, sample_share=1.0, trust_incoming=False, rng=Random(7),
    )  # fmt: skip
    mark = tracer.begin([], facts).finish(facts)
    metrics.record(facts, mark)
    logs.request(facts, mark.trace_id)
    tracer.close(timeout_s=30)
    logs.finish(timeout_s=30)

    (span,) = exported.get_finished_spans()
    trace_id = f"{span.context.trace_id:032x}"
    assert f'"trace_id":"{trace_id}"'.encode() in lines[0]
    buckets = scrape(metrics, accept=OPENMETRICS).all(
        "trtgw_time_to_first_token_seconds_bucket"
    )
    assert [s.exemplar.labels["trace_id"] for s in buckets if s.exemplar] == [trace_id]
