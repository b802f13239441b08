import asyncio
import time

import pytest

from gateway.telemetry.looplag import watch_loop_lag

pytestmark = pytest.mark.anyio


async def test_a_blocked_loop_shows_as_lag():
    lags, observed = [], asyncio.Event()

    def observe(lag_s):
        lags.append(lag_s)
        observed.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(
            watch_loop_lag(observe, clock=time.perf_counter, interval_s=0.001)
        )
        await observed.wait()
        observed.clear()
        time.sleep(0.05)  # noqa: ASYNC251 - blocking the loop is what is measured
        await observed.wait()
        watch.cancel()
    assert max(lags) >= 0.045
    assert min(lags) >= 0
