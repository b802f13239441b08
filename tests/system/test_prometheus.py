"""What an operator reads in Prometheus is what the definitions say, by a real Prometheus."""

import asyncio
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread

import pytest

from gateway.telemetry.exposition import Exposition
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.series import TraceMark
from tests.fakes.facts import streamed
from tests.fakes.prometheus import running_prometheus, wait_until
from tests.fakes.scrape import no_fleet

TPOT, TTFT = "trtgw_time_per_output_token_seconds", "trtgw_time_to_first_token_seconds"
AVERAGES = {
    "tpot": (f"{TPOT}_sum", f"{TPOT}_count"),
    "itl": ("trtgw_generation_seconds_total", "trtgw_generation_output_tokens_total"),
    "ttft": (f"{TTFT}_sum", f"{TTFT}_count"),
}
FINISHED = 'sum(trtgw_requests_total{model="llama"})'

# Arrivals, seconds after 10.0, and output tokens: requests weigh equally in the average TPOT,
# tokens in the average ITL, and an event may bring several tokens.
FIRST = [((0.2, 0.3, 0.4), 3), ((0.5, 2.5), 101)]
SECOND = [((0.1, 0.12, 0.2, 0.7), 8), ((1.5,), 1)]
AFTER_RESTART = [((0.3, 0.35), 2)]


def request(times, tokens):
    return streamed(arrivals=tuple(10.0 + at for at in times), output_tokens=tokens)


def averages_of(requests):
    """The averages as the guide defines them."""
    tpots = [(times[-1] - times[0]) / (tokens - 1) for times, tokens in requests if tokens > 1]
    gaps = [later - earlier for times, _ in requests for earlier, later in pairwise(times)]
    return {
        "tpot": sum(tpots) / len(tpots),
        "itl": sum(gaps) / sum(tokens for _, tokens in requests),
        "ttft": sum(times[0] for times, _ in requests) / len(requests),
    }


def averages_in(prometheus, worker):
    """The averages over the workers that match, as dashboards ask for them."""
    series = f'{{model="llama", worker=~"{worker}"}}[5m]'
    return {
        name: prometheus.query(f"sum(rate({dividend}{series})) / sum(rate({divisor}{series}))")
        for name, (dividend, divisor) in AVERAGES.items()
    }


class Gateway:
    """Two workers and the exposition of both."""

    def __init__(self):
        self.exposition = Exposition(no_fleet())
        self.workers = {}
        for slot in ("0", "1"):
            self.start(slot)

    def start(self, slot):
        worker = RequestMetrics()
        worker.configure(["llama"], ["r1"], at=0.0)
        self.workers[slot] = worker

    def serve(self, slot, requests, mark=None):
        for times, tokens in requests:
            self.workers[slot].record(request(times, tokens), mark)

    async def metrics(self, accept):
        for slot, worker in self.workers.items():
            self.exposition.worker_reported(slot, worker.dump(20.0))
        return await self.exposition.render(accept)


@pytest.fixture
def gateway():
    return Gateway()


@pytest.fixture
def address(gateway):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            accept = self.headers.get("accept", "")
            body, content_type = asyncio.run(gateway.metrics(accept))
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def prometheus(address, tmp_path):
    with running_prometheus(address, tmp_path) as prometheus:
        yield prometheus


def test_the_averages_of_the_guide_come_out_over_all_workers(gateway, prometheus):
    prometheus.wait_for(FINISHED, 0)
    prometheus.wait_for("sum(trtgw_worker_up)", 2)
    gateway.serve("0", FIRST)
    gateway.serve("1", SECOND)
    prometheus.wait_for(FINISHED, 4)
    assert averages_in(prometheus, ".*") == pytest.approx(averages_of(FIRST + SECOND))


def test_the_averages_of_a_worker_come_out_over_its_restart(gateway, prometheus):
    prometheus.wait_for("sum(trtgw_worker_up)", 2)
    gateway.serve("1", SECOND)
    prometheus.wait_for(FINISHED, 2)
    del gateway.workers["1"]
    prometheus.wait_for("sum(trtgw_worker_up)", 1)
    gateway.start("1")
    prometheus.wait_for("sum(trtgw_worker_up)", 2)  # seen at 0: without it a reset can hide
    gateway.serve("1", AFTER_RESTART)
    prometheus.wait_for(FINISHED, 1)
    assert averages_in(prometheus, "1") == pytest.approx(averages_of(SECOND + AFTER_RESTART))


def test_prometheus_keeps_the_exemplars_of_exported_traces(gateway, prometheus):
    prometheus.wait_for(FINISHED, 0)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    at = prometheus.query("vector(time())")
    gateway.serve("0", FIRST, TraceMark(trace_id, at))

    def exemplars():
        found = prometheus.get(
            "query_exemplars",
            query="trtgw_time_to_first_token_seconds_bucket",
            start=at - 60,
            end=at + 60,
        )
        return {mark["labels"]["trace_id"] for series in found for mark in series["exemplars"]}

    wait_until(lambda: exemplars() == {trace_id}, "the exemplar is in Prometheus")
