from threading import Event

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, StaticSampler

from gateway.telemetry.span_export import CountingExporter, CountingProcessor


class ScriptedExporter(SpanExporter):
    def __init__(self, result=SpanExportResult.SUCCESS):
        self.result = result
        self.go = Event()
        self.started = Event()
        self.seen = []

    def export(self, spans):
        self.started.set()
        self.go.wait(60)
        self.seen += spans
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def end_spans(processor, count, sampler=ALWAYS_ON):
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    for _ in range(count):
        tracer.start_span("s").end()
    return provider


def test_spans_that_arrive_are_not_counted_as_dropped():
    exporter = ScriptedExporter()
    exporter.go.set()
    processor = CountingProcessor(exporter)
    end_spans(processor, 3).shutdown()
    assert (len(exporter.seen), processor.dropped) == (3, 0)


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, StaticSampler(Decision.RECORD_ONLY)])
def test_spans_that_are_not_sampled_are_not_exported(sampler):
    exporter = ScriptedExporter()
    exporter.go.set()
    processor = CountingProcessor(exporter)
    end_spans(processor, 3, sampler).shutdown()
    assert (exporter.seen, processor.dropped) == ([], 0)


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, OSError("refused")])
def test_a_batch_that_the_collector_refused_is_lost(result):
    exporter = ScriptedExporter(result)
    exporter.go.set()
    processor = CountingProcessor(exporter)
    end_spans(processor, 3).shutdown()
    assert processor.dropped == 3


def test_a_queue_that_is_full_loses_the_oldest_and_counts_them():
    exporter = ScriptedExporter()
    processor = CountingProcessor(exporter, capacity=512)
    provider = end_spans(processor, 512)
    exporter.started.wait(60)  # the first 512 are out, and stuck
    tracer = provider.get_tracer("test")
    for _ in range(512 + 40):
        tracer.start_span("s").end()
    assert processor.dropped == 40
    exporter.go.set()
    provider.shutdown()
    assert (len(exporter.seen), processor.dropped) == (1024, 40)


def test_shutting_down_reaches_the_wrapped_exporter():
    ended = []

    class Exporter(ScriptedExporter):
        def shutdown(self):
            ended.append(self)

    CountingExporter(Exporter()).shutdown()
    assert len(ended) == 1
