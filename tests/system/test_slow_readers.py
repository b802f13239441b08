"""Clients that do not read cost the gateway little, and lose nothing once they read on."""

import asyncio
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.system.family import resident_bytes, worker_pids
from tests.system.running import (
    RunningGateway,
    eventually,
    free_ports,
    gateway_config,
    running,
    running_gateway,
)
from tests.system.streaming import stream
from tests.system.test_streams import CHAT, MODEL, asked, in_flight, open_files
from tests.system.unread import unread

pytestmark = pytest.mark.anyio

EVENTS = 6000
"""Of 1.15 KB each: much more than the kernel's buffers on the way to one client take."""
FEW, MANY = 40, 500
DIRECT, PORTABLE = "", "through_asgi"
FEW_MB, MANY_MB = {DIRECT: 40, PORTABLE: 80}, 200
"""The most that they may cost. Through ASGI two more reads of up to 256 KB lie in between."""
PATIENT = {"timeouts": {"connect_s": 60, "client_write_s": 3600, "total_s": 3600}}
"""Nobody is given up, however long the machine takes."""
CHANGED_WORKER = Path(__file__).parents[1] / "fakes/changed_worker"
ROUNDS = 20


@dataclass
class Stand:
    """A gateway of one worker before a replica that sends as fast as its answers are taken."""

    gateway: RunningGateway
    replica_url: str

    @property
    def worker_mb(self):
        (pid,) = worker_pids(self.gateway)
        return resident_bytes(pid) / 1e6

    def at_rest(self, clients):
        """Wait until no byte of the answers moves; return the replica's counts."""
        seen = []

        def still():
            # Its answer shows that the worker has gone round all its sockets since.
            httpx.get(self.gateway.url + "/live", timeout=60).raise_for_status()
            counts = httpx.get(self.replica_url + "/held", timeout=60).json()
            if seen[-1:] != [counts]:
                print(counts)  # noqa: T201 - pytest shows it when the test fails
                seen.clear()
            seen.append(counts)
            begun = counts["asked"] == clients == counts["held"] + counts["sent"]
            return counts if begun and len(seen) > ROUNDS else None

        return eventually(still, "nothing moves", deadline_s=90)


@contextmanager
def standing(folder, *changes):
    """Run a stand, its worker changed as `tests/fakes/changed_worker` says."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    program = [sys.executable, "-m", "tests.fakes.long_answers", str(port)]
    with running(program, folder / "replica.log"):
        eventually(lambda: httpx.get(url + "/health").is_success, "the replica runs")
        config = gateway_config(
            folder,
            server={"workers": 1},
            defaults=PATIENT,
            models=[{"name": MODEL, "source": "source", "static": [url]}],
        )
        environ = {"PYTHONPATH": str(CHANGED_WORKER), "CHANGED_WORKER": " ".join(changes)}
        with running_gateway(
            folder, config=config, environ=environ, ready={MODEL: 1}
        ) as gateway:
            log = gateway.log_text()
            assert [c for c in changes if f"this worker is changed: {c}\n" in log] == [*changes]
            yield Stand(gateway, url)


def nothing_is_left(gateway, before):
    """Wait until no request runs and no socket is open that was not before."""

    def running_requests():
        lines = httpx.get(gateway.admin_url + "/metrics").text.splitlines()
        gauges = [n for n in lines if n.startswith("trtgw_requests_in_flight{")]
        assert gauges
        return sum(float(line.rpartition(" ")[2]) for line in gauges)

    def as_before():
        now = open_files(gateway)
        # pooled connections to replicas are idle, and go within the keep-alive of 5 s
        return all(now[pid] <= count + 2 for pid, count in before.items())

    eventually(lambda: in_flight(gateway) == 0, "no request in flight")
    eventually(lambda: running_requests() == 0, "no request counts as running")
    eventually(as_before, f"the sockets are closed; before: {before}")


async def left_unread(stand, clients, *, then_read=True):
    """Have clients leave their answers unread, then read on.

    Returns:
        The worker's memory before and while it holds them, in MB, and the replica's counts.
    """
    gateway = stand.gateway
    first = await stream(gateway.url, CHAT, asked(0, 100))  # all is imported, all has run once
    assert first.complete
    files, before_mb = open_files(gateway), stand.worker_mb
    bodies = [asked(number, EVENTS) for number in range(clients)]
    with unread(gateway.url, CHAT, bodies) as readers:
        counts = stand.at_rest(clients + 1)
        held_mb = stand.worker_mb
        if then_read:
            read = await asyncio.gather(*(reader.read_on() for reader in readers))
            assert read == [(EVENTS, True)] * clients
    if then_read:
        nothing_is_left(gateway, files)
    return before_mb, held_mb, counts


def cost_little(most_mb, before_mb, held_mb):
    """The check that a gateway without back pressure must fail."""
    assert held_mb - before_mb < most_mb


@pytest.mark.parametrize("way", [DIRECT, PORTABLE], ids=["direct", "portable"])
async def test_clients_that_do_not_read_cost_little_and_get_all_once_they_read(tmp_path, way):
    with standing(tmp_path, *way.split()) as stand:
        before_mb, held_mb, counts = await left_unread(stand, FEW)
    assert (counts["held"], counts["sent"]) == (FEW, 1), "the replica is held back"
    cost_little(FEW_MB[way], before_mb, held_mb)


@pytest.mark.parametrize("way", [DIRECT, PORTABLE], ids=["direct", "portable"])
async def test_they_would_cost_much_if_writing_never_paused(tmp_path, way):
    with standing(tmp_path, *way.split(), "never_pausing") as stand:
        before_mb, held_mb, counts = await left_unread(stand, FEW, then_read=False)
    assert (counts["held"], counts["sent"]) == (0, FEW + 1), "nothing holds the replica back"
    with pytest.raises(AssertionError):
        cost_little(FEW_MB[way], before_mb, held_mb)


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_500_clients_that_do_not_read_cost_less_than_200_mb(tmp_path, note_figures):
    with standing(tmp_path) as stand:
        before_mb, held_mb, counts = await left_unread(stand, MANY)
    assert (counts["held"], counts["sent"]) == (MANY, 1), "the replica is held back"
    note_figures(
        "slow_readers",
        clients=MANY,
        rss_before_mb=round(before_mb, 1),
        rss_held_mb=round(held_mb, 1),
    )
    cost_little(MANY_MB, before_mb, held_mb)
