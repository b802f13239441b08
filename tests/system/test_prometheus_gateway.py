"""What a real gateway tells Prometheus, the collector and its log of what clients did."""

import asyncio
import json
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes.otlp import attributes, running_collector
from tests.fakes.prometheus import running_prometheus
from tests.fakes.scrape import OPENMETRICS, Scrape
from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream

MODEL = "llama-3.3-70b"
SERVED = {
    "name": MODEL,
    "source": "nvidia/Llama-3.3-70B-Instruct-FP8",
    "launcher": "sim",
    "replicas": {"initial": 2, "max": 2},
    "sim": {"profile": "llama-3.3-70b-fp8-2xh100"},
}
STREAMS, TOKENS = 40, 12
CANARY = "canary-5e1f"


@pytest.fixture
def seen(start_gateway, tmp_path):
    """A gateway whose traces all go to a collector."""
    with running_collector() as (collector, url):
        telemetry = {"otlp_endpoint": url, "sample_share": 1.0}
        config = gateway_config(tmp_path, models=[SERVED], telemetry=telemetry)
        gateway = start_gateway(
            config=config, ready={MODEL: 2}, environ={"OTEL_BSP_SCHEDULE_DELAY": "100"}
        )
        yield SimpleNamespace(gateway=gateway, collector=collector)


async def streams(gateway):
    """Run all streams, eight at a time, and return what the clients saw."""
    eight = asyncio.Semaphore(8)

    async def one(number):
        body = {
            "model": MODEL,
            "max_tokens": TOKENS,
            "ignore_eos": True,
            "messages": [{"role": "user", "content": f"{CANARY} {number}"}],
        }
        async with eight:
            return await stream(gateway.url, "/v1/chat/completions", body)

    return await asyncio.gather(*(one(number) for number in range(STREAMS)))


def scraped(gateway):
    answer = httpx.get(gateway.admin_url + "/metrics", headers={"accept": OPENMETRICS})
    return Scrape(answer.content, answer.headers["content-type"])


def request_lines(gateway):
    lines = [line for line in gateway.log_text().splitlines() if line.startswith("{")]
    return [event for event in map(json.loads, lines) if event["event"] == "request"]


def test_prometheus_counts_what_the_clients_counted(seen, tmp_path):
    target = urlsplit(seen.gateway.admin_url).netloc
    with running_prometheus(target, tmp_path) as prometheus:
        of_model = f'{{model="{MODEL}"}}'
        prometheus.wait_for(f"sum(trtgw_requests_total{of_model})", 0)
        clients = asyncio.run(streams(seen.gateway))
        assert all(client.complete for client in clients)
        prometheus.wait_for(f"sum(trtgw_requests_total{of_model})", STREAMS)
        prometheus.wait_for(f"sum(trtgw_requests_in_flight{of_model})", 0)
        prometheus.wait_for("sum(trtgw_worker_up)", 2)
        tokens = prometheus.query(f"sum(trtgw_output_tokens_total{of_model})")
        assert tokens == STREAMS * TOKENS
        chunks = prometheus.query(f"sum(trtgw_stream_chunks_total{of_model})")
        assert chunks == sum(len(client.content_at) for client in clients)
        attempts = prometheus.query('sum(trtgw_upstream_attempts_total{outcome="ok"})')
        assert attempts == STREAMS
        # A client sees the first token after the gateway, and it began before it.
        ttft_s = prometheus.query(f"sum(trtgw_time_to_first_token_seconds_sum{of_model})")
        assert 0 < ttft_s < sum(client.content_at[0] - client.sent_at for client in clients)
        gaps_s = prometheus.query(f"sum(trtgw_inter_token_latency_seconds_sum{of_model})")
        generation_s = prometheus.query(f"sum(trtgw_generation_seconds_total{of_model})")
        assert gaps_s == pytest.approx(generation_s)
        ready = prometheus.query('sum(trtgw_replica_state{state="ready"})')
        assert ready == 2


def test_a_trace_id_on_metrics_leads_to_the_spans_and_to_the_log_line(seen):
    asyncio.run(streams(seen.gateway))
    buckets = scraped(seen.gateway).all("trtgw_time_to_first_token_seconds_bucket")
    marked = {s.exemplar.labels["trace_id"] for s in buckets if s.exemplar}
    assert marked

    def servers():
        spans = seen.collector.spans
        return [s for s in spans if attributes(s).get("http.route") == "/v1/chat/completions"]

    eventually(lambda: len(servers()) == STREAMS, "every request's span has arrived")
    by_trace = {span.trace_id.hex(): attributes(span) for span in servers()}
    assert marked <= set(by_trace)
    eventually(lambda: len(request_lines(seen.gateway)) == STREAMS, "every request is logged")
    for line in request_lines(seen.gateway):
        assert by_trace[line["trace_id"]]["trtgw.request_id"] == line["request_id"]
        assert line["outcome"] == "ok"
        assert line["ttft_ms"] == round(by_trace[line["trace_id"]]["trtgw.ttft"] * 1000, 3)


def test_no_prompt_and_no_header_is_found_in_any_signal(seen):
    asyncio.run(streams(seen.gateway))
    secret = {"authorization": f"Bearer {CANARY}", "baggage": f"user={CANARY}"}
    refused = httpx.post(
        f"{seen.gateway.url}/v1/chat/completions",
        json={"model": CANARY, "messages": [{"role": "user", "content": CANARY}]},
        headers=secret,
    )
    assert refused.status_code == 404
    answer = httpx.get(seen.gateway.admin_url + "/metrics", headers={"accept": OPENMETRICS})
    spans = STREAMS * 2 + 1
    eventually(lambda: len(seen.collector.spans) == spans, "every span has arrived")
    eventually(lambda: len(request_lines(seen.gateway)) == STREAMS + 1, "all is logged")
    assert CANARY not in answer.text
    assert CANARY not in seen.gateway.log_text()
    assert not any(CANARY.encode() in body for body in seen.collector.bodies)
