"""A fleet that is never still leaves nothing open in the gateway, and no memory behind."""

import asyncio
import time
from random import Random

import pytest

from tests.system.churn import Churn, Samples, descriptors, lag_p99_ms, loop_lags
from tests.system.rolling import Load, loading, truths
from tests.system.running import eventually, gateway_config
from tests.system.test_streams import MODEL, asked, in_flight, simulated

pytestmark = pytest.mark.anyio
SOURCE = "nvidia/Llama-3.3-70B-Instruct-FP8"
SEED = 11
ROOM = 5
"""Descriptors by which the count may differ: a probe or a look of the test may be under way."""
LOOK_S = 2.0


async def churned(start_gateway, tmp_path, seconds, every_s):
    """Run churn; return the gateway, its load, what was done, samples and lags."""
    config = gateway_config(tmp_path, models=[simulated(2)])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    replica = gateway.ready_replicas(MODEL)[0]["url"]
    bodies = [asked(i, tokens) for i, tokens in enumerate([4, 30, 60, 200])]
    load = Load(gateway.url, await truths(replica, SOURCE, bodies))
    async with loading(load, streams=8, kept=2):  # modules, pools and threads are there
        await asyncio.sleep(2)
    await quiet(gateway)
    samples = Samples(gateway)
    before = {pid: descriptors(pid) for pid in samples.pids()}
    lags = loop_lags(gateway)
    churn = Churn(gateway, MODEL, load, Random(SEED))
    began_at = time.monotonic()
    async with loading(load, streams=12, kept=4):
        running = asyncio.ensure_future(churn.run(seconds, every_s))
        while not running.done():
            samples.look(time.monotonic() - began_at)
            await asyncio.wait([running], timeout=LOOK_S)
        await running
    p99 = lag_p99_ms(lags, loop_lags(gateway))
    await quiet(gateway)

    def as_before():
        now = {pid: descriptors(pid) for pid in before}
        # The supervisor watches each replica by a descriptor.
        more = len(gateway.admin("/admin/replicas")["items"])
        return all(now[pid] <= count + ROOM + more for pid, count in before.items())

    await asyncio.to_thread(eventually, as_before, f"files are closed; before: {before}")
    after = {pid: descriptors(pid) for pid in before}
    assert load.seen["untrue"] == load.seen["cut"] == load.seen["refused"] == 0, load.notes
    assert all(churn.done.values()), churn.done
    return churn, samples, list(before.values()), list(after.values()), p99


async def quiet(gateway):
    """Wait until no request is open, and pooled connections to replicas have gone."""
    await asyncio.to_thread(eventually, lambda: in_flight(gateway) == 0, "no request in flight")
    await asyncio.sleep(6)


async def test_a_fleet_that_is_never_still_leaves_no_descriptor_open(start_gateway, tmp_path):
    await churned(start_gateway, tmp_path, 20, 1.5)


@pytest.mark.proof
@pytest.mark.timeout(0)
async def test_over_half_an_hour_of_churn_nothing_grows(
    start_gateway, tmp_path, request, note_figures
):
    minutes = request.config.getoption("--churn-minutes")
    churn, samples, before, after, p99 = await churned(
        start_gateway, tmp_path, minutes * 60, 4.0
    )
    note_figures(
        "churn",
        minutes=minutes,
        **churn.load.figures(),
        clients_that_left=churn.done["left"],
        replicas_faulted=churn.done["faults"],
        replicas_added=churn.done["added"],
        replicas_removed=churn.done["removed"],
        descriptors_before=before,
        descriptors_after=after,
        memory_growth_mb_per_hour=samples.slopes_mb_h(),
        memory_warm_and_last_mb=samples.ends_mb(),
        loop_lag_p99_ms_at_most=p99,
    )
