"""A replica with a good /health and dead generation: found by its requests, proven by a probe.

Real processes on all sides. Each check is beside a control, in which it must fail: a gateway
that never ejects, or a replica that it must eject.
"""

import asyncio

import httpx
import pytest

from tests.fakes.scrape import Scrape
from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream
from tests.system.test_streams import CHAT, MODEL, asked, simulated

pytestmark = pytest.mark.anyio

WORKERS = 2
REQUESTS = 60
QUIET = {"base_s": 8, "slow_start_s": 0}
"""Replicas are equals from the start, and no third trial comes while a test looks on."""
NEVER = {"consecutive": 1_000_000, "failure_share": 1.0, "over_requests": 1_000_000}
FAULTS = {"eof": 3 * WORKERS, "internal_error": 5 * WORKERS}
"""Ways in which generation is dead, and how many requests may find it so."""


@pytest.fixture
def gateway(start_gateway, tmp_path, request):
    """A gateway that ejects as `request.param` says, with two replicas."""
    rules = QUIET | getattr(request, "param", {})
    model = simulated(2, time_scale=0.1) | {"eject": rules}
    config = gateway_config(tmp_path, server={"workers": WORKERS}, models=[model])
    return start_gateway(config=config, ready={MODEL: 2})


def arm(replica, *faults):
    httpx.post(replica["url"] + "/_sim/faults", json=list(faults)).raise_for_status()


def calls(replica):
    """Return how many requests of clients it was sent; a probe asks on another route."""
    items = httpx.get(replica["url"] + "/_sim/requests").json()["items"]
    return sum(item["path"] == CHAT for item in items)


def scraped(gateway):
    """Return all metrics of a gateway."""
    answer = httpx.get(gateway.admin_url + "/metrics")
    return Scrape(answer.content, answer.headers["content-type"])


def shown(gateway, replica):
    """Return the replica's state, its past, and its ejections as counted."""
    now = gateway.admin(f"/admin/replicas/{replica['id']}")
    seen, name = scraped(gateway), replica["id"]
    measured = [
        s.labels["state"] for s in seen.all("trtgw_replica_state", replica=name) if s.value
    ]
    return {
        "state": now["state"],
        "reasons": [e["reason"] for e in now["history"] if e["state"] == "ejected"],
        "measured": measured,
        "past": [entry["state"] for entry in now["history"]],
        "ejections": seen.total("trtgw_replica_ejections_total", replica=name),
    }


async def one_by_one(gateway, requests=REQUESTS):
    """Return what clients saw that came one after the other, each on a new connection."""
    return [await stream(gateway.url, CHAT, asked(i, 3)) for i in range(requests)]


async def what_is_wrong(gateway, bad, fault):
    """Let generation of ``bad`` die under requests; return which promises were broken."""
    before = calls(bad)
    arm(bad, {"kind": fault})
    seen = await one_by_one(gateway)
    broken = []
    if not all(each.complete for each in seen):
        broken.append("a client saw an error")
    if calls(bad) - before > FAULTS[fault]:
        broken.append("too many requests went there")
    now = shown(gateway, bad)
    if (now["state"], now["measured"], now["ejections"]) != ("ejected", ["ejected"], 1):
        broken.append(f"it is not shown as ejected: {now}")
    return broken


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_replica_with_dead_generation_is_found_left_out_and_taken_back(gateway, fault):
    bad, _ = gateway.ready_replicas(MODEL)
    assert await what_is_wrong(gateway, bad, fault) == []
    (reason,) = shown(gateway, bad)["reasons"]
    assert "failures in a row" in reason
    paid = calls(bad)
    assert all(each.complete for each in await one_by_one(gateway, 20))
    assert calls(bad) == paid, "nobody was sent there meanwhile"
    arm(bad)
    eventually(lambda: len(gateway.ready_replicas(MODEL)) == 2, "it comes back by itself")
    assert calls(bad) == paid, "no client's request was the trial"
    assert shown(gateway, bad)["past"][-3:] == ["ready", "ejected", "ready"]


@pytest.mark.parametrize("gateway", [NEVER], indirect=True, ids=["never"])
async def test_without_ejection_requests_go_on_going_there(gateway):
    bad, _ = gateway.ready_replicas(MODEL)
    too_many, not_shown = await what_is_wrong(gateway, bad, "eof")
    assert too_many == "too many requests went there"
    assert "not shown as ejected" in not_shown


async def test_one_that_is_back_serves_again(gateway):
    bad, _ = gateway.ready_replicas(MODEL)
    assert await what_is_wrong(gateway, bad, "eof") == []
    arm(bad)
    eventually(lambda: len(gateway.ready_replicas(MODEL)) == 2, "it comes back by itself")
    before = calls(bad)

    async def serves():
        await one_by_one(gateway, 4)
        return calls(bad) > before

    async with asyncio.timeout(60):
        while not await serves():
            pass


async def until_probed(gateway, replica, probes):
    """Have clients keep it busy until so many more probes of it ended; return what they saw."""

    def probed():
        return scraped(gateway).total(
            "trtgw_replica_health_checks_total", replica=replica["id"]
        )

    seen, enough = [], probed() + probes
    while probed() < enough:
        seen += await asyncio.gather(
            *(stream(gateway.url, CHAT, asked(i, 100)) for i in range(16))
        )
    return seen


async def test_a_replica_whose_health_is_slow_because_it_is_busy_is_not_ejected(gateway):
    busy, _ = gateway.ready_replicas(MODEL)
    before = calls(busy)
    arm(busy, {"kind": "slow_health", "s": 2})
    assert all(each.complete for each in await until_probed(gateway, busy, 3))
    assert calls(busy) > before

    def was_ejected():
        now = shown(gateway, busy)
        return "ejected" in now["past"] or now["ejections"] > 0

    assert not was_ejected()
    arm(busy, {"kind": "slow_health", "s": 2}, {"kind": "eof"})
    await one_by_one(gateway)
    assert was_ejected()
