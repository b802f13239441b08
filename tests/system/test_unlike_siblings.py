"""Replicas that answer unlike their siblings: with refusals, or with other text.

Real processes on all sides, each check beside a control.
"""

import httpx
import pytest

from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream
from tests.system.test_ejection import arm, calls, scraped, shown
from tests.system.test_hung import soon
from tests.system.test_streams import CHAT, MODEL, asked, simulated

pytestmark = pytest.mark.anyio

MARGIN = {"over_requests": 8, "base_s": 60, "slow_start_s": 0}
"""Refusals of so many requests tell, replicas are equals from the start, and none that is out
comes back while a test looks on."""
BLIND = MARGIN | {"refused_margin": 1}
REQUESTS = 120


def gateway_of(start_gateway, folder, *, eject=None, drift=None, replicas=3):
    model = simulated(replicas, time_scale=0.05)
    model |= {"eject": eject or {}, "drift": drift or {"action": "none"}}
    config = gateway_config(folder, server={"workers": 1}, models=[model])
    return start_gateway(config=config, ready={MODEL: replicas})


async def requests(gateway, count, **changes):
    """Ask one after the other; return the status of each answer."""
    return [
        (await stream(gateway.url, CHAT, asked(number, 2) | changes)).status
        for number in range(count)
    ]


async def found_after(gateway, bad):
    """Let one replica blame all clients; return after how many it is out, None if never."""
    arm(bad, {"kind": "refuse"})
    for refused in range(REQUESTS):
        if shown(gateway, bad)["state"] == "ejected":
            return refused
        while await requests(gateway, 1) != [400]:
            if shown(gateway, bad)["state"] == "ejected":
                return refused
    return None


async def test_a_replica_that_blames_every_client_is_ejected_for_it(start_gateway, tmp_path):
    gateway = gateway_of(start_gateway, tmp_path, eject=MARGIN)
    bad, *good = gateway.ready_replicas(MODEL)
    assert await found_after(gateway, bad) is not None
    now = shown(gateway, bad)
    (reason,) = now["reasons"]
    assert "answers say that the request is wrong, of its siblings' 0%" in reason
    assert "nor does it generate when asked to" in reason
    name = "trtgw_replica_ejections_total"
    assert scraped(gateway).total(name, replica=bad["id"], reason="refused") == 1
    assert [shown(gateway, each)["ejections"] for each in good] == [0, 0]
    before = calls(bad)
    assert set(await requests(gateway, 20)) == {200}
    assert calls(bad) == before


async def test_without_the_comparison_it_goes_on_blaming_them(start_gateway, tmp_path):
    gateway = gateway_of(start_gateway, tmp_path, eject=BLIND)
    bad, *_ = gateway.ready_replicas(MODEL)
    assert await found_after(gateway, bad) is None


async def test_clients_that_send_only_bad_requests_eject_nobody(start_gateway, tmp_path):
    gateway = gateway_of(start_gateway, tmp_path, eject=MARGIN)
    replicas = gateway.ready_replicas(MODEL)
    before = sum(map(calls, replicas))
    wrong = {"messages": [{"role": "user", "content": "x " * 9_000}]}  # longer than they take
    assert set(await requests(gateway, REQUESTS, **wrong)) == {400}
    assert sum(map(calls, replicas)) - before >= REQUESTS, "all of them reached a replica"
    assert [shown(gateway, each)["ejections"] for each in replicas] == [0, 0, 0]


# Answers that drift.

OFTEN = {"every_s": 0.5}


def drift_of(gateway, replica):
    return gateway.admin(f"/admin/replicas/{replica['id']}")["drift"]


def served_clients(gateway):
    """Return what the metrics of clients count."""
    seen = scraped(gateway)
    names = ("requests", "output_tokens", "input_tokens", "upstream_attempts")
    return [seen.total(f"trtgw_{name}_total") for name in names]


@pytest.mark.parametrize(
    ("fault", "agreement", "difference"),
    [("drift", (0, 0.5), (0, 50)), ("low_logprobs", (1, 1), (0.9, 1.1))],
)
async def test_a_replica_whose_answers_drift_is_reported(
    start_gateway, tmp_path, fault, agreement, difference
):
    gateway = gateway_of(start_gateway, tmp_path, drift=OFTEN)
    bad, *good = gateway.ready_replicas(MODEL)
    arm(bad, {"kind": fault})
    await soon(lambda: drift_of(gateway, bad)["drifts"], "it is reported")
    now = drift_of(gateway, bad)
    assert now["rounds"] >= 3
    assert agreement[0] <= now["agreement"] <= agreement[1]
    assert difference[0] <= now["logprob_difference"] <= difference[1]
    for each in good:
        assert drift_of(gateway, each)["rounds"] == 0
        assert drift_of(gateway, each)["agreement"] == 1
    seen = scraped(gateway)
    assert seen.total("trtgw_replica_drift_rounds", replica=bad["id"]) >= 3
    assert f"replica {bad['id']} answers unlike its siblings" in gateway.log_text()
    assert len(gateway.ready_replicas(MODEL)) == 3, "a report, no more"
    assert served_clients(gateway) == [0, 0, 0, 0], "no client asked for anything"
    arm(bad)
    await soon(lambda: drift_of(gateway, bad)["rounds"] == 0, "it is well again")


async def test_replicas_that_answer_alike_never_are(start_gateway, tmp_path):
    gateway = gateway_of(start_gateway, tmp_path, drift=OFTEN)
    replicas = gateway.ready_replicas(MODEL)
    first = {}

    def compared_often():
        for each in replicas:
            at = drift_of(gateway, each)["compared_at"]
            first.setdefault(each["id"], set()).add(at)
        return all(len(seen) > 5 for seen in first.values())

    await soon(compared_often, "five rounds passed")
    for each in replicas:
        now = drift_of(gateway, each)
        assert (now["rounds"], now["agreement"], now["logprob_difference"]) == (0, 1, 0)


async def test_one_that_drifts_is_drained_where_that_is_wanted(start_gateway, tmp_path):
    gateway = gateway_of(start_gateway, tmp_path, drift=OFTEN | {"action": "drain"})
    bad, *_ = gateway.ready_replicas(MODEL)
    arm(bad, {"kind": "drift"})
    path = f"/admin/replicas/{bad['id']}"
    await soon(lambda: gateway.admin(path)["state"] == "stopped", "it is drained")
    assert gateway.admin(path)["desired"] == "stop"
    assert len(gateway.ready_replicas(MODEL)) == 2


def test_where_it_is_off_nobody_is_asked(start_gateway, tmp_path):
    gateway = gateway_of(start_gateway, tmp_path, drift=OFTEN | {"action": "none"})
    replicas = gateway.ready_replicas(MODEL)

    def checks():
        return scraped(gateway).total("trtgw_replica_health_checks_total")

    enough = checks() + 15
    eventually(lambda: checks() >= enough, "time for several rounds passed")
    for each in replicas:
        assert drift_of(gateway, each)["compared_at"] is None
        asked_for = httpx.get(each["url"] + "/_sim/requests").json()["items"]
        assert len(asked_for) == 1, "its proof alone"
