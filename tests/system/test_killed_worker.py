"""A worker is killed, or out of descriptors, under load: nobody else's stream is harmed."""

import asyncio
import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.state.board import Board
from tests.system.family import worker_pids
from tests.system.rolling import CHAT, truths
from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream
from tests.system.test_streams import MODEL, asked, in_flight, simulated

pytestmark = pytest.mark.anyio
SOURCE = "nvidia/Llama-3.3-70B-Instruct-FP8"
SIZES = [
    pytest.param(60, id="small"),
    pytest.param(500, id="full", marks=[pytest.mark.proof, pytest.mark.timeout(600)]),
]
FEW_FILES = 200
"""As `tests/fakes/changed_worker` gives a worker."""
CHANGED_WORKER = str(Path(__file__).parents[1] / "fakes/changed_worker")


async def settled(check, what):
    return await asyncio.to_thread(eventually, check, what, every_s=0.01)


@pytest.mark.figures
@pytest.mark.parametrize("streams", SIZES)
async def test_a_killed_worker_costs_its_own_streams_alone(
    start_gateway, tmp_path, note_figures, streams
):
    # A client of many may take long to send its request where many tests run.
    patient = {"header_s": 100, "body_s": 100}
    config = gateway_config(tmp_path, server=patient, models=[simulated(2, time_scale=6)])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    bodies = [asked(i, 150) for i in range(4)]
    true = await truths(gateway.ready_replicas(MODEL)[0]["url"], SOURCE, bodies)
    running = [
        asyncio.ensure_future(stream(gateway.url, CHAT, dict(true[i % 4][0])))
        for i in range(streams)
    ]
    await settled(lambda: in_flight(gateway) >= streams, "all streams run")
    victim, other = sorted(worker_pids(gateway))
    figures = await killed(gateway, victim)
    seen = await asyncio.gather(*running)
    await settled(lambda: len(worker_pids(gateway)) == 2, "it is back")
    assert other in worker_pids(gateway)
    whole = [(s.text, true[i % 4][1]) for i, s in enumerate(seen) if s.complete]
    assert [got for got, _ in whole] == [text for _, text in whole]
    cut = [s for s in seen if not s.complete]
    assert not [s for s in cut if s.ended], "a connection of the killed worker is cut, no more"
    own = figures["streams_of_the_killed_worker"]
    assert 0 < len(cut) <= own, "all streams of the other worker are whole"
    await settled(lambda: in_flight(gateway) == 0, "all slots are free")
    if streams >= 500:
        figures |= {"streams": streams, "whole": len(whole), "cut_with_their_worker": len(cut)}
        note_figures("killed_worker", **figures)


async def killed(gateway, victim):
    """Kill a worker; return what became of new connections, and how soon."""
    counted = held_by(gateway, victim)
    os.kill(victim, signal.SIGKILL)
    killed_at = time.monotonic()
    *answered, freed_s, back_s, new = await asyncio.gather(
        *(asked_models(gateway.url, killed_at) for _ in range(40)),
        took(lambda: victim not in board_pids(gateway), "its row is cleared", killed_at),
        took(lambda: all_serve(gateway, victim), "two workers serve", killed_at),
        asyncio.gather(*(stream(gateway.url, CHAT, asked(i, 2)) for i in range(20))),
    )
    assert all(s.complete for s in new), "who connects meanwhile is served"
    return {
        "streams_of_the_killed_worker": counted,
        "new_connections": len(answered),
        "new_connections_served": len(answered),
        "last_of_them_answered_after_s": round(max(answered), 2),
        "slots_freed_after_s": round(freed_s, 2),
        "back_after_s": round(back_s, 2),
    }


async def asked_models(url, since):
    """Ask for the models on a new connection; return when the answer came, after ``since``."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"GET /v1/models HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    status = (await reader.readuntil(b"\n")).split()[1]
    writer.close()
    assert status == b"200"
    return time.monotonic() - since


async def took(check, what, since):
    await settled(check, what)
    return time.monotonic() - since


def held_by(gateway, worker):
    """Return how many clients' connections a worker has open."""
    port, established = f":{int(gateway.url.rpartition(':')[2]):04X}", "01"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    clients = {
        f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == established
    }
    return sum(str(f.readlink()) in clients for f in Path(f"/proc/{worker}/fd").iterdir())


def board_pids(gateway):
    """Return the pids that own rows of the in-flight board."""
    board = Board.open(Path(gateway.state_dir) / "board")
    try:
        return board.owners()
    finally:
        board.close()


async def test_who_connects_while_its_worker_is_dead_is_served_by_another(
    start_gateway, tmp_path
):
    gateway = start_gateway(
        config=gateway_config(tmp_path, models=[simulated(2)]), ready={MODEL: 2}
    )
    for _ in range(3):
        victim = worker_pids(gateway)[0]
        os.kill(victim, signal.SIGSTOP)  # connections wait at its socket
        waiting = [
            asyncio.ensure_future(stream(gateway.url, CHAT, asked(i, 2))) for i in range(30)
        ]
        await settled(
            lambda w=waiting: sum(map(asyncio.Future.done, w)) > 3, "the other serves"
        )
        os.kill(victim, signal.SIGKILL)
        seen = await asyncio.gather(*waiting)
        assert all(s.complete for s in seen), "none was reset with the worker"
        await settled(lambda: len(worker_pids(gateway)) == 2, "it is back")
        eventually(lambda: all_serve(gateway), "both serve")


def all_serve(gateway, gone=None):
    if gone in worker_pids(gateway):
        return False
    text = httpx.get(gateway.admin_url + "/metrics", timeout=30).text
    up = [line for line in text.splitlines() if line.startswith("trtgw_worker_up")]
    return len(up) == 2 and all(line.endswith(" 1.0") for line in up)


async def crowded(start_gateway, tmp_path, **environ):
    """Let more clients come than a worker has descriptors for; return what they saw."""
    config = gateway_config(tmp_path, server={"workers": 1}, models=[simulated(2)])
    gateway = start_gateway(config=config, ready={MODEL: 2}, environ=environ)
    (worker,) = worker_pids(gateway)
    running = asyncio.ensure_future(stream(gateway.url, CHAT, asked(0, 400)))
    await settled(lambda: in_flight(gateway) == 1, "a stream runs")
    seen = await asyncio.gather(
        *(stream(gateway.url, CHAT, asked(i, 40)) for i in range(4 * FEW_FILES)),
        return_exceptions=True,
    )
    assert (await running).complete, "what runs goes on"
    assert worker_pids(gateway) == [worker]
    return [s for s in seen if not isinstance(s, BaseException) and s.complete], len(seen)


FEW = {"PYTHONPATH": CHANGED_WORKER, "CHANGED_WORKER": "few_files"}


async def test_a_worker_out_of_descriptors_lets_clients_wait_and_serves_them_all(
    start_gateway, tmp_path
):
    served, clients = await crowded(start_gateway, tmp_path, **FEW)
    assert len(served) == clients


async def test_one_that_accepts_all_turns_clients_away(start_gateway, tmp_path):
    unlimited = {**FEW, "CHANGED_WORKER": "few_files no_most_connections"}
    served, clients = await crowded(start_gateway, tmp_path, **unlimited)
    assert len(served) < clients
