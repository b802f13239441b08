"""The host's clock is set while a gateway works: nobody may notice.

``libfaketime`` moves it for all processes of the gateway at once. Its control moves the
monotonic clock as well, which no host does, and shows that the clock reaches them.
"""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream
from tests.system.test_streams import CHAT, MODEL, asked, simulated, underway

pytestmark = pytest.mark.anyio
STREAMS, TOKENS = 20, 150


class Clock:
    """The clock that the processes of one gateway see."""

    def __init__(self, folder: Path, *, monotonic_too: bool) -> None:
        self._file = folder / "clock"
        self.set("+0")
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "0" if monotonic_too else "1",
        }

    def set(self, offset: str) -> None:
        """Put it so far from the real one; at once, as a reader sees it."""
        next_one = self._file.with_suffix(".next")
        next_one.write_text(offset)
        next_one.rename(self._file)


@pytest.fixture
def clock_of(start_gateway, tmp_path):
    """Return a gateway and its clock."""

    def start(*, monotonic_too):
        assert shutil.which("faketime"), "scripts/apt-packages installs it"
        clock = Clock(tmp_path, monotonic_too=monotonic_too)
        config = gateway_config(tmp_path, models=[simulated(2, start_s=3.0)])
        gateway = start_gateway(config=config, ready={MODEL: 2}, environ=clock.environ)
        return gateway, clock

    return start


def histories(gateway):
    """Return the states that each replica has been in."""
    ids = [r["id"] for r in gateway.admin("/admin/replicas")["items"]]
    replicas = [gateway.admin(f"/admin/replicas/{each}") for each in ids]
    return {r["id"]: [entry["state"] for entry in r["history"]] for r in replicas}


def loads(gateway):
    return any(states[-1] == "loading" for states in histories(gateway).values())


async def streams_through(gateway, clock, *offsets):
    streams = [
        asyncio.ensure_future(stream(gateway.url, CHAT, asked(i, TOKENS)))
        for i in range(STREAMS)
    ]
    await underway(gateway, STREAMS)
    for offset in offsets:
        clock.set(offset)
        await asyncio.sleep(0.3)
    return await asyncio.gather(*streams)


async def test_a_clock_that_is_set_cuts_no_stream_and_moves_no_replica(clock_of):
    gateway, clock = clock_of(monotonic_too=False)
    before = histories(gateway)
    seen = await streams_through(gateway, clock, "+3600", "+90000", "-90000")
    assert [s.complete for s in seen] == [True] * STREAMS
    assert histories(gateway) == before
    async with httpx.AsyncClient(base_url=gateway.admin_url, timeout=10) as admin:
        scaled = await admin.post(f"/admin/models/{MODEL}/scale", json={"replicas": 3})
    assert scaled.status_code == 202, scaled.text
    eventually(lambda: loads(gateway), "the third replica loads", every_s=0.02)
    clock.set("+90000")  # further than any load may take
    gateway.wait_ready({MODEL: 3})
    passed = {state for states in histories(gateway).values() for state in states}
    assert passed <= {"pending", "starting", "loading", "ready"}


async def test_the_clock_that_is_set_is_theirs(clock_of):
    gateway, clock = clock_of(monotonic_too=True)
    seen = await streams_through(gateway, clock, "+3600", "+90000")
    assert not all(s.complete for s in seen)
