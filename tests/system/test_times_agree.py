"""The gateway's times against what the client saw and what the engine itself recorded.

The engine's clock starts after the gateway's and stops before it, and the client's lies around
both: engine <= gateway <= client, however busy the machine is. How close they are is a figure.
"""

import asyncio
import re

import httpx
import pytest

from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream
from tests.system.test_streams import CHAT, MODEL, simulated

pytestmark = pytest.mark.anyio
TOKENS = 24


def asked(number, prompt_tokens):
    words = " ".join(f"w{number}x{i}" for i in range(prompt_tokens // 4))
    return {
        "model": MODEL,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": words}],
    }


def total(metrics, name):
    """Sum a series over workers: the test knows that none restarted."""
    pattern = rf'^{name}{{[^}}]*model="{MODEL}"[^}}]*}} ([0-9.e+-]+)$'
    return sum(float(value) for value in re.findall(pattern, metrics, re.MULTILINE))


def text_of(url):
    return httpx.get(url, timeout=30).text


def perf_metrics(gateway):
    return [
        entry["perf_metrics"]["timing_metrics"]
        for replica in gateway.ready_replicas(MODEL)
        for entry in httpx.get(replica["url"] + "/perf_metrics", timeout=30).json()
    ]


async def measured(start_gateway, tmp_path, *, requests, prompt_tokens):
    config = gateway_config(tmp_path, models=[simulated(2, dialect="1.1")])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    perf_metrics(gateway)  # drains what the probes left
    slots = asyncio.Semaphore(4)

    async def one(number):
        async with slots:
            return await stream(gateway.url, CHAT, asked(number, prompt_tokens))

    seen = await asyncio.gather(*(one(i) for i in range(requests)))
    assert all(s.complete for s in seen)
    engine = []

    def all_told():
        engine.extend(perf_metrics(gateway))  # the route drains
        return len(engine) >= requests

    eventually(all_told, "the engine's times of every request")
    metrics = text_of(gateway.admin_url + "/metrics")
    return {
        "client_ttft_s": sum(s.content_at[0] - s.sent_at for s in seen),
        "least_client_ttft_s": min(s.content_at[0] - s.sent_at for s in seen),
        "client_generation_s": sum(s.content_at[-1] - s.content_at[0] for s in seen),
        "gateway_ttft_s": total(metrics, "trtgw_time_to_first_token_seconds_sum"),
        "gateway_requests": total(metrics, "trtgw_time_to_first_token_seconds_count"),
        "gateway_generation_s": total(metrics, "trtgw_generation_seconds_total"),
        "gateway_tokens": total(metrics, "trtgw_generation_output_tokens_total"),
        "engine_ttft_s": sum(
            t["server_first_token_time"] - t["server_arrival_time"] for t in engine
        ),
        "engine_generation_s": sum(
            t["last_token_time"] - t["first_token_time"] for t in engine
        ),
    }


def off(one, other):
    """Return by how much ``one`` differs from ``other``, as a share."""
    return abs(one - other) / other


async def test_each_clock_lies_inside_the_next_one(start_gateway, tmp_path):
    found = await measured(start_gateway, tmp_path, requests=24, prompt_tokens=1600)
    assert found["gateway_requests"] == 24
    assert found["gateway_tokens"] == 24 * TOKENS
    assert found["engine_ttft_s"] <= found["gateway_ttft_s"] <= found["client_ttft_s"]
    assert found["gateway_generation_s"] > 0


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_over_500_requests_the_three_clocks_agree_within_2_percent(
    start_gateway, tmp_path, note_figures
):
    found = await measured(start_gateway, tmp_path, requests=520, prompt_tokens=4400)
    note_figures("times_agree", **{name: round(value, 3) for name, value in found.items()})
    assert found["least_client_ttft_s"] >= 0.2
    for name in ("ttft", "generation"):
        gateway = found[f"gateway_{name}_s"]
        assert off(gateway, found[f"client_{name}_s"]) < 0.02
        assert off(gateway, found[f"engine_{name}_s"]) < 0.02
