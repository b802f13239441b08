"""Replicas are killed under streams that may go on elsewhere: every one of them is whole."""

import asyncio
import os
import signal

import pytest

from tests.system.family import replica_pid
from tests.system.running import gateway_config
from tests.system.streaming import stream
from tests.system.test_streams import MODEL, sending, simulated

pytestmark = pytest.mark.anyio
STREAMS, TOKENS = 50, 60


def asked(number):
    return {
        "model": MODEL,
        "prompt": f"Question {number}: where is New York?",
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }


async def streams_through_a_killed_replica(start_gateway, tmp_path, **keys):
    config = gateway_config(tmp_path, models=[simulated(2) | keys])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    victim = gateway.ready_replicas(MODEL)[0]
    pid = replica_pid(gateway, victim["id"])
    streams = [
        asyncio.ensure_future(stream(gateway.url, "/v1/completions", asked(i)))
        for i in range(STREAMS)
    ]
    await sending(victim)
    os.kill(pid, signal.SIGKILL)
    return await asyncio.gather(*streams)


@pytest.mark.figures
async def test_streams_whose_replica_is_killed_go_on_at_the_other_one(
    start_gateway, tmp_path, note_figures
):
    seen = await streams_through_a_killed_replica(
        start_gateway, tmp_path, resume="text", retry={"budget_share": 1}
    )
    assert all(s.complete for s in seen)
    usages = [s.usage() for s in seen]
    assert [usage["completion_tokens"] for usage in usages] == [TOKENS] * STREAMS
    resumed = [s for s in seen if any(b"x-trtgw-resumed" in c for c in s.comments)]
    assert 0 < len(resumed) < STREAMS
    unmoved = [s for s in seen if s not in resumed]
    sizes = {s.usage()["prompt_tokens"] for s in unmoved}
    assert {s.usage()["prompt_tokens"] for s in resumed} <= sizes, "the prompt counts once"
    note_figures("resumed_streams", streams=STREAMS, whole=len(seen), resumed=len(resumed))


async def test_without_it_they_end_in_the_error_event(start_gateway, tmp_path):
    seen = await streams_through_a_killed_replica(start_gateway, tmp_path)
    broken = [s for s in seen if not s.complete]
    assert broken
    assert all(s.error["code"] == "upstream_disconnected" for s in broken)
    assert not any(s.comments for s in seen)
