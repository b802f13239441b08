"""More requests than the replicas can take: what fits is served, the rest is told at once."""

import asyncio
import time
from random import Random

import httpx
import pytest

from tests.system.running import gateway_config
from tests.system.streaming import stream
from tests.system.test_streams import CHAT, MODEL, asked, in_flight, simulated

pytestmark = pytest.mark.anyio

AT_ONCE = 8
TOKENS = 24
LIMITS = {"limits": {"queue": 8}, "timeouts": {"queue_s": 2}}


@pytest.fixture
def start(start_gateway, tmp_path):
    """Return a function that starts a gateway of one worker before one small replica."""

    def start(**defaults):
        config = gateway_config(
            tmp_path,
            server={"workers": 1},
            defaults=defaults,
            models=[simulated(1, max_batch_size=AT_ONCE)],
        )
        return start_gateway(config=config, ready={MODEL: 1})

    return start


async def answered(gateway, number):
    """Return whether a request got all of its answer, its status, and how long it took."""
    began = time.monotonic()
    seen = await stream(gateway.url, CHAT, asked(number, TOKENS))
    return seen.complete, seen.status, time.monotonic() - began


async def as_fast_as_they_come(gateway, seconds):
    """Return how many requests a second are answered, with a client for each place."""
    ends_at, done = time.monotonic() + seconds, 0

    async def client(number):
        nonlocal done
        while time.monotonic() < ends_at:
            complete, status, _ = await answered(gateway, number)
            assert (complete, status) == (True, 200)
            done += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(AT_ONCE):
            tasks.create_task(client(number))
    return done / seconds


async def flooded(gateway, rate, seconds, rng):
    """Have requests come at ``rate`` a second, whatever becomes of them; return their ends."""
    asking, began, due_s = [], time.monotonic(), 0.0
    async with asyncio.TaskGroup() as tasks:
        while due_s < seconds:
            asking.append(tasks.create_task(answered(gateway, len(asking))))
            due_s += rng.expovariate(rate)
            await asyncio.sleep(began + due_s - time.monotonic())
    return [each.result() for each in asking]


def turned_away(gateway):
    """Return how many requests the gateway counted as too much."""
    lines = httpx.get(gateway.admin_url + "/metrics").text.splitlines()
    counted = [n for n in lines if n.startswith("trtgw_rejections_total{") and '"queue_' in n]
    return sum(float(line.split()[1]) for line in counted)


def quantile(values, share):
    return sorted(values)[int(share * (len(values) - 1))]


async def test_what_is_too_much_is_refused_and_the_rest_is_served(start):
    gateway = start(**LIMITS)
    ends = await asyncio.gather(*(answered(gateway, number) for number in range(60)))
    served = [status for complete, status, _ in ends if complete]
    refused = [status for complete, status, _ in ends if not complete]
    assert len(served) >= AT_ONCE + 8
    assert set(served) == {200}
    assert set(refused) == {503}
    assert turned_away(gateway) == len(refused)
    assert in_flight(gateway) == 0


async def test_with_a_line_that_is_long_enough_all_of_them_wait_and_are_served(start):
    gateway = start(limits={"queue": 60}, timeouts={"queue_s": 600, "total_s": 600})
    ends = await asyncio.gather(*(answered(gateway, number) for number in range(60)))
    assert {(complete, status) for complete, status, _ in ends} == {(True, 200)}


@pytest.mark.proof
@pytest.mark.timeout(300)
async def test_ten_times_too_much_costs_those_who_are_served_little(start, note_figures):
    gateway = start(**LIMITS)
    seconds, rng = 10, Random(1)
    await as_fast_as_they_come(gateway, 2)
    most = await as_fast_as_they_come(gateway, seconds)
    ends = await flooded(gateway, 10 * most, seconds, rng)
    served = [took for complete, _, took in ends if complete]
    refused = [took for complete, status, took in ends if not complete and status == 503]
    assert len(served) + len(refused) == len(ends), "nobody was cut off"
    note_figures(
        "overload",
        most_per_s=round(most, 1),
        came_per_s=round(len(ends) / seconds, 1),
        served_per_s=round(len(served) / seconds, 1),
        served_share_of_most=round(len(served) / seconds / most, 3),
        refused_after_p50_ms=round(quantile(refused, 0.5) * 1000, 1),
        refused_after_p99_ms=round(quantile(refused, 0.99) * 1000, 1),
    )
