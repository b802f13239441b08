from random import Random

import pytest

from gateway.telemetry.clocks import Clocks
from gateway.telemetry.passthrough import PassThrough, Untraced
from gateway.telemetry.tracing import TracingSettings, start_tracing, traces_endpoint
from tests.fakes.facts import streamed
from tests.fakes.otlp import running_collector

CLOCKS = Clocks(lambda: 10.0, lambda: 1_700_000_000.0)
BASE, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("configured", "environ", "endpoint"),
    [
        (None, {}, None),
        ("", {BASE: ""}, None),
        ("http://c:4318", {}, "http://c:4318/v1/traces"),
        ("http://c:4318/", {}, "http://c:4318/v1/traces"),
        ("http://c:4318/v1/traces", {}, "http://c:4318/v1/traces"),
        (None, {BASE: "http://e/otlp"}, "http://e/otlp/v1/traces"),
        (None, {TRACES: "http://e/odd", BASE: "http://other"}, "http://e/odd"),
        ("http://c", {TRACES: "http://e/odd"}, "http://c/v1/traces"),
        ("http://c", {"OTEL_SDK_DISABLED": "TRUE"}, None),
    ],
)
def test_the_configuration_names_the_collector_and_the_environment_fills_in(
    configured, environ, endpoint
):
    assert traces_endpoint(configured, environ) == endpoint


@pytest.mark.parametrize(("trust", "kind"), [(False, Untraced), (True, PassThrough)])
def test_without_a_collector_nothing_is_exported(trust, kind):
    settings = TracingSettings(trust_incoming=trust)
    assert isinstance(start_tracing(settings, CLOCKS, Random(7), slot="0", version="1.0"), kind)


def test_spans_say_which_worker_of_which_gateway_they_come_from():
    with running_collector() as (collector, url):
        settings = TracingSettings(endpoint=url, sample_share=1.0)
        tracer = start_tracing(settings, CLOCKS, Random(7), slot="3", version="1.0")
        tracer.begin([], streamed()).finish(streamed())
        tracer.close(timeout_s=30)
        assert collector.resource["service.name"] == "trtllm-gateway"
        assert collector.resource["service.version"] == "1.0"
        assert collector.resource["service.instance.id"].endswith(":3")
