import asyncio
import contextlib
import os
import signal
import sys
from itertools import pairwise

import pytest

from gateway.workers import Workers
from tests.fakes.replica import settled

pytestmark = pytest.mark.anyio

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
DIES = [sys.executable, "-c", "raise SystemExit(3)"]


@contextlib.asynccontextmanager
async def running(command, count=1):
    """Run workers; give what was started and a count of ends."""
    started, ended = [], []

    def start(slot):
        started.append(slot)
        return command(slot, len(started)) if callable(command) else command

    workers = Workers(
        count, start, env=dict(os.environ), on_exit=lambda: ended.append(1)
    )  # fmt: skip
    task = asyncio.ensure_future(workers.run())
    try:
        yield workers, started, ended
    finally:
        workers.kill()
        await task


async def test_each_slot_has_its_worker_and_all_end_when_killed():
    async with running(SLEEPS, count=3) as (workers, started, ended):
        await settled(lambda: len(workers._processes) == 3)
        assert sorted(started) == [0, 1, 2]
    assert len(ended) == 3


async def test_one_that_dies_is_replaced(caplog):
    async with running(SLEEPS) as (workers, started, ended):
        await settled(lambda: workers._processes)
        workers._processes[0].send_signal(signal.SIGKILL)
        await settled(lambda: len(started) == 2 and workers._processes)
        assert len(ended) == 1
    assert "worker 0 ended with code -9; a new one starts" in caplog.text


async def test_one_that_dies_of_its_start_again_and_again_waits_longer_each_time():
    loop, at = asyncio.get_running_loop(), []

    def command(_slot, _number):
        at.append(loop.time())
        return DIES

    async with running(command):
        await settled(lambda: len(at) == 5)
    pauses = [later - sooner for sooner, later in pairwise(at)]
    assert all(pause >= 0.1 * 2**n for n, pause in enumerate(pauses))


async def test_one_that_cannot_be_started_is_tried_again(caplog):
    def command(_slot, number):
        return ["/no/such/program"] if number == 1 else SLEEPS

    async with running(command) as (workers, started, _):
        await settled(lambda: workers._processes)
        assert len(started) == 2
    assert "worker 0 could not be started" in caplog.text


async def test_after_the_end_nothing_is_started_any_more():
    async with running(SLEEPS) as (workers, started, _):
        await settled(lambda: workers._processes)
        workers.end()
        workers._processes[0].send_signal(signal.SIGTERM)
        await settled(lambda: not workers._processes)
    assert started == [0]
