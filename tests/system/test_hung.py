"""A replica whose engine hangs behind a good /health is told from one that is only busy.

Real processes on all sides. Each check is beside a control, in which it must fail: a gateway
that does not look for silence, or a replica that hangs after all.
"""

import asyncio
import os
import signal
import time

import httpx
import pytest

from tests.system.family import replica_pid
from tests.system.running import eventually, gateway_config
from tests.system.streaming import stream
from tests.system.test_ejection import NEVER, arm, scraped, shown
from tests.system.test_streams import CHAT, MODEL, asked, simulated

pytestmark = pytest.mark.anyio

WATCHED = {"silent_s": 2, "generate_s": 5, "restart_trials": 0}
UNWATCHED = WATCHED | {"silent_s": None}
RESTARTED = WATCHED | {"generate_s": 2, "restart_trials": 1}
PATIENT = {"first_token_s": 30, "between_tokens_s": 30}
"""Of the clients' requests: far longer than it takes to find a replica that hangs."""
SUSPICIONS = "trtgw_replica_suspicions_total"


def model(hang, replicas=2, **known):
    quiet = NEVER | {"base_s": 0.5, "slow_start_s": 0}
    changes = {"eject": quiet, "hang": hang, "timeouts": PATIENT} | known
    return simulated(replicas, time_scale=0.1) | changes


@pytest.fixture
def gateway(start_gateway, tmp_path, request):
    """A gateway with two replicas that watches them as `request.param` says."""
    models = [model(getattr(request, "param", WATCHED))]
    config = gateway_config(tmp_path, server={"workers": 2}, models=models)
    return start_gateway(config=config, ready={MODEL: 2})


def suspicions(gateway, replica, **labels):
    return scraped(gateway).total(SUSPICIONS, replica=replica["id"], **labels)


async def soon(check, what, **limits):
    return await asyncio.to_thread(eventually, check, what, **limits)


class Load:
    """Clients with streams that are far longer than any test."""

    def __init__(self, gateway, clients=8):
        self._gateway = gateway
        self._clients = clients

    async def __aenter__(self):
        self.streams = [
            asyncio.ensure_future(stream(self._gateway.url, CHAT, asked(i, 100_000)))
            for i in range(self._clients)
        ]
        await soon(lambda: self.loaded(self._clients), "all streams run")
        return self

    async def __aexit__(self, *_):
        for each in self.streams:
            each.cancel()
        await asyncio.gather(*self.streams, return_exceptions=True)

    def loaded(self, least):
        in_flight = [r["in_flight"] for r in self._gateway.admin("/admin/replicas")["items"]]
        return sum(in_flight) >= least and all(in_flight)


async def found_after_s(gateway, bad):
    """Freeze a replica under load; return how soon it is ejected, None if clients give up."""
    async with Load(gateway) as load:
        arm(bad, {"kind": "frozen"})
        since = time.monotonic()

        def decided():
            state = gateway.admin(f"/admin/replicas/{bad['id']}")["state"]
            return state if state == "ejected" or any(map(_done, load.streams)) else None

        state = await soon(decided, "it is ejected, or its clients have given up")
        return time.monotonic() - since if state == "ejected" else None


def _done(task):
    return task.done()


@pytest.mark.figures
async def test_an_engine_that_hangs_behind_a_good_health_is_ejected_and_comes_back(
    gateway, note_figures
):
    bad, good = gateway.ready_replicas(MODEL)
    found_s = await found_after_s(gateway, bad)
    assert found_s is not None
    note_figures("hung_replica", found_after_s=round(found_s, 1), **WATCHED)
    now = shown(gateway, bad)
    (reason,) = now["reasons"]
    assert reason.startswith("nothing came for ")
    assert "nor does it generate when asked to" in reason
    assert now["ejections"] == 1
    assert suspicions(gateway, bad, reason="hung", result="fails") == 1
    assert shown(gateway, good)["ejections"] == 0
    arm(bad)
    await soon(lambda: len(gateway.ready_replicas(MODEL)) == 2, "it comes back by itself")


@pytest.mark.parametrize("gateway", [UNWATCHED], indirect=True, ids=["unwatched"])
async def test_without_the_watchdog_its_clients_wait_in_vain(gateway):
    bad, _ = gateway.ready_replicas(MODEL)
    assert await found_after_s(gateway, bad) is None
    assert suspicions(gateway, bad) == 0


async def test_a_replica_that_is_slow_because_it_is_busy_is_suspected_and_not_ejected(
    start_gateway, tmp_path
):
    hang = WATCHED | {"silent_s": 0.2, "generate_s": 60}
    slow = model(hang, sim=simulated(1)["sim"] | {"time_scale": 30})
    config = gateway_config(tmp_path, server={"workers": 2}, models=[slow])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    busy, _ = gateway.ready_replicas(MODEL)
    arm(busy, {"kind": "slow_health", "s": 2})
    async with Load(gateway):

        def cleared():
            found = [suspicions(gateway, busy, result=r) for r in ("works", "flows")]
            return sum(found) >= 3

        await soon(cleared, "it was found to be busy, and no more", deadline_s=120)
        assert shown(gateway, busy)["ejections"] == 0
        assert "ejected" not in shown(gateway, busy)["past"]


async def whole(gateway, number, tokens):
    """Ask for an answer that comes whole; return its status."""
    body = asked(number, tokens)
    del body["stream_options"]
    async with httpx.AsyncClient(timeout=120) as client:
        answer = await client.post(gateway.url + CHAT, json=body)
        return answer.status_code


def one_place(start_gateway, folder, **timeouts):
    """A gateway with one replica that has a single place, and slow answers."""
    hang = WATCHED | {"silent_s": 0.5, "generate_s": 0.5}
    sim = simulated(1)["sim"] | {"time_scale": 5, "max_batch_size": 1}
    known = model(hang, 1, sim=sim, timeouts=PATIENT | timeouts)
    config = gateway_config(folder, server={"workers": 2}, models=[known])
    return start_gateway(config=config, ready={MODEL: 1})


async def test_a_replica_full_of_answers_that_come_whole_is_not_ejected(
    start_gateway, tmp_path
):
    gateway = one_place(start_gateway, tmp_path)
    (busy,) = gateway.ready_replicas(MODEL)
    assert await whole(gateway, 1, tokens=100) == 200
    assert suspicions(gateway, busy, result="fails") == 0
    assert suspicions(gateway, busy) > 0, "it was silent for long enough"
    assert shown(gateway, busy)["ejections"] == 0


async def test_one_that_hangs_with_them_is_ejected_when_they_have_had_their_time(
    start_gateway, tmp_path
):
    gateway = one_place(start_gateway, tmp_path, total_unstreamed_s=8)
    (bad,) = gateway.ready_replicas(MODEL)
    arm(bad, {"kind": "frozen"})
    assert await whole(gateway, 1, tokens=100) == 504
    await soon(lambda: shown(gateway, bad)["ejections"] == 1, "it is found all the same")
    assert suspicions(gateway, bad, reason="hung", result="fails") == 1


async def test_a_single_request_that_hangs_ejects_nobody(gateway):
    bad, _ = gateway.ready_replicas(MODEL)
    arm(bad, {"kind": "stall"})
    async with Load(gateway, clients=2):
        await soon(lambda: suspicions(gateway, bad, result="works") >= 2, "it was asked twice")
        assert shown(gateway, bad)["ejections"] == 0


@pytest.mark.parametrize("gateway", [RESTARTED], indirect=True, ids=[""])
@pytest.mark.parametrize("how", ["frozen", "stopped"])
async def test_one_of_our_own_that_hangs_on_is_started_again(gateway, how):
    bad, _ = gateway.ready_replicas(MODEL)
    pid = replica_pid(gateway, bad["id"])
    async with Load(gateway):
        if how == "frozen":
            arm(bad, {"kind": "frozen"})
        else:
            os.kill(pid, signal.SIGSTOP)
        await soon(lambda: "backoff" in shown(gateway, bad)["past"], "it is given up")
    await soon(
        lambda: len(gateway.ready_replicas(MODEL)) == 2, "it was replaced", deadline_s=120
    )
    now = gateway.admin(f"/admin/replicas/{bad['id']}")
    assert replica_pid(gateway, bad["id"]) != pid
    assert now["attempt"] == 1, "it counts as a crash does"
    past = [entry["state"] for entry in now["history"]]
    assert past[past.index("ejected") :][:2] == ["ejected", "backoff"]
    (why,) = [e["reason"] for e in now["history"] if e["state"] == "backoff"]
    assert why.startswith("hung: it hangs: failed its trial")


async def test_one_that_somebody_else_runs_is_only_ejected(
    start_gateway, start_simulator, tmp_path
):
    ours = "nvidia/Llama-3.3-70B-Instruct-FP8"
    sims = [start_simulator("--time-scale", "0.1", model=ours) for _ in range(2)]
    static = {"replicas": {"initial": 0}, "static": [sim.url for sim in sims]}
    config = gateway_config(tmp_path, server={"workers": 2}, models=[model(RESTARTED) | static])
    gateway = start_gateway(config=config, ready={MODEL: 2})
    bad = next(r for r in gateway.ready_replicas(MODEL) if r["url"] == sims[0].url)
    assert await found_after_s(gateway, bad) is not None
    await soon(lambda: "unhealthy" in shown(gateway, bad)["past"], "it fails all its trials")
    sims[0].must_run()
    past = shown(gateway, bad)["past"]
    assert past[past.index("ejected") :] == ["ejected", "unhealthy"]
    arm(bad)
    await soon(lambda: len(gateway.ready_replicas(MODEL)) == 2, "it comes back by itself")
