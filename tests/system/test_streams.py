"""Many streams through a real gateway: whole, unmixed, and nothing is left of them."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.system.family import replica_pid, resident_bytes, worker_pids
from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream

pytestmark = pytest.mark.anyio
MODEL = "llama-3.3-70b"
CHAT = "/v1/chat/completions"


def simulated(replicas, **sim):
    return {
        "name": MODEL,
        "source": "nvidia/Llama-3.3-70B-Instruct-FP8",
        "launcher": "sim",
        "replicas": {"initial": replicas, "max": 8},
        "sim": {"profile": "llama-3.3-70b-fp8-2xh100", **sim},
    }


@pytest.fixture
def gateway(start_gateway, tmp_path):
    config = gateway_config(tmp_path, models=[simulated(2)])
    return start_gateway(config=config, ready={MODEL: 2})


def asked(number, tokens=24):
    return {
        "model": MODEL,
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": f"Question {number}: where is New York?"}],
    }


def in_flight(gateway):
    return sum(r["in_flight"] for r in gateway.admin("/admin/replicas")["items"])


async def underway(gateway, streams):
    """Wait until so many streams are in flight."""
    await asyncio.to_thread(
        eventually,
        lambda: in_flight(gateway) >= streams,
        f"{streams} streams run",
        every_s=0.01,
    )


async def sending(replica, tokens=3):
    """Wait until a simulated replica has sent so many tokens of some stream."""
    url = replica["url"] + "/_sim/requests"

    def sent():
        items = httpx.get(url).json()["items"]
        return any(r["stream"] and r["tokens_sent"] >= tokens for r in items)

    await asyncio.to_thread(eventually, sent, "the replica sends", every_s=0.01)


def open_files(gateway):
    family = [gateway.pid, *(p.pid for p in gateway.family())]
    return {pid: sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for pid in family}


@pytest.mark.figures
async def test_200_streams_at_once_are_each_whole_and_unmixed_and_leave_nothing(
    gateway, note_figures
):
    replica = gateway.ready_replicas(MODEL)[0]["url"]
    source = "nvidia/Llama-3.3-70B-Instruct-FP8"
    before = open_files(gateway)
    seen = await asyncio.gather(*(stream(gateway.url, CHAT, asked(i)) for i in range(200)))
    direct = await asyncio.gather(
        *(stream(replica, CHAT, {**asked(i), "model": source}) for i in range(200))
    )
    assert [s.status for s in seen] == [200] * 200
    assert all(s.complete for s in seen)
    assert [s.text for s in seen] == [s.text for s in direct]
    assert len({s.text for s in seen}) == 200, "each prompt has an answer of its own"
    assert [s.usage() for s in seen] != [None] * 200
    ids = {chunk["id"] for s in seen for chunk in s.chunks}
    assert len(ids) == 200, "one id a stream, and none twice"
    eventually(lambda: in_flight(gateway) == 0, "no request in flight", deadline_s=10)

    def as_before():
        now = open_files(gateway)
        # pooled connections to replicas are idle, and go within the keep-alive of 5 s
        return all(now[pid] <= count + 2 for pid, count in before.items())

    eventually(as_before, f"the sockets are closed; before: {before}", deadline_s=30)
    note_figures(
        "many_streams",
        streams=len(seen),
        complete=sum(s.complete for s in seen),
        same_text_as_the_replica=sum(
            s.text == d.text for s, d in zip(seen, direct, strict=True)
        ),
    )


@pytest.mark.figures
async def test_a_replica_killed_under_50_streams_costs_only_the_streams_it_had_begun(
    start_gateway, tmp_path, note_figures
):
    config = gateway_config(tmp_path, models=[simulated(2)])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    victim = gateway.ready_replicas(MODEL)[0]
    pid = replica_pid(gateway, victim["id"])
    streams = [
        asyncio.ensure_future(stream(gateway.url, CHAT, asked(i, 60))) for i in range(50)
    ]
    await sending(victim)
    os.kill(pid, signal.SIGKILL)
    late = [stream(gateway.url, CHAT, asked(i, 8)) for i in range(50, 60)]
    seen = await asyncio.gather(*streams, *late)
    broken = [s for s in seen if not s.complete]
    assert 0 < len(broken) < 50
    for s in broken:
        assert s.status == 200
        assert s.ended, "the body ends properly: the error event must reach the SDK"
        assert s.content_at, "a stream that had shown nothing was moved to the other replica"
        assert s.error is not None
        assert s.error["code"] == "upstream_disconnected"
        assert b"[DONE]" not in s.payloads
    assert all(s.headers["x-trtgw-replica"] == victim["id"] for s in broken)
    gateway.wait_ready({MODEL: 2})  # the gateway started it again
    note_figures(
        "killed_replica",
        streams=len(seen),
        complete=len(seen) - len(broken),
        ended_in_an_error_event=len(broken),
        failed_before_their_first_content=sum(not s.content_at for s in broken),
    )


@pytest.mark.figures
async def test_64_clients_that_leave_in_mid_stream_are_seen_to_leave_by_the_replica(
    gateway, note_figures
):
    seen = await asyncio.gather(
        *(stream(gateway.url, CHAT, asked(i, 400), leave_after=5) for i in range(64))
    )
    left_at = max(s.left_at for s in seen if s.left_at is not None)

    def closed():
        entries = [
            entry
            for replica in gateway.ready_replicas(MODEL)
            for entry in httpx.get(replica["url"] + "/_sim/requests").json()["items"]
            if entry["stream"]
        ]
        return entries if all(e["closed_at"] for e in entries) and len(entries) == 64 else None

    entries = eventually(closed, "64 requests were closed at the replicas", deadline_s=10)
    # One monotonic clock for all processes of a machine.
    last_ms = (max(e["closed_at"] for e in entries) - left_at) * 1000
    note_figures("client_leaves", clients=64, last_close_seen_after_ms=round(last_ms, 1))
    assert all(e["tokens_sent"] < 400 for e in entries)
    eventually(lambda: in_flight(gateway) == 0, "no request in flight", deadline_s=10)


async def test_a_client_that_does_not_read_holds_no_memory_in_the_gateway(
    start_gateway, tmp_path
):
    sim = {"profile": "llama-3.1-8b-fp8-1xh100", "time_scale": 0.02}
    config = gateway_config(
        tmp_path, server={"workers": 1}, models=[{**simulated(1), "sim": sim}]
    )
    gateway = start_gateway(config=config, ready={MODEL: 1})
    (worker,) = worker_pids(gateway)
    before = resident_bytes(worker)
    port = int(gateway.url.rpartition(":")[2])
    writers = []
    for i in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({**asked(i, 20_000), "stream": True}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.transport.pause_reading()
        writers.append(writer)
    for _ in range(25):
        await asyncio.sleep(0.2)
        assert resident_bytes(worker) - before < 60_000_000
    for writer in writers:
        writer.transport.abort()
