"""The gateway and its replicas are restarted under load, again and again: no client notices."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tests.system.family import worker_pids
from tests.system.rolling import CHAT, Load, loading, truths
from tests.system.running import eventually, gateway_config, running_gateway
from tests.system.test_streams import MODEL, asked, simulated

pytestmark = pytest.mark.anyio
SOURCE = "nvidia/Llama-3.3-70B-Instruct-FP8"
SIZES = [
    pytest.param(2, 30, id="small"),
    pytest.param(20, 200, id="full", marks=[pytest.mark.proof, pytest.mark.timeout(1800)]),
]
LIMIT_S = 120.0


def config_of(tmp_path, replicas=2, **server):
    # A client of many may take long to send its request where many tests run.
    server = {"header_s": 100, "body_s": 100, **server}
    return gateway_config(tmp_path, server=server, models=[simulated(replicas, time_scale=2)])


async def load_of(gateway):
    replica = gateway.ready_replicas(MODEL)[0]["url"]
    bodies = [asked(i, tokens) for i, tokens in enumerate([4, 20, 40, 60, 60, 80, 80, 100])]
    return Load(gateway.url, await truths(replica, SOURCE, bodies))


async def settled(check, what):
    return await asyncio.to_thread(eventually, check, what, deadline_s=LIMIT_S)


async def restart_in_place(gateway, number):
    """Restart the gateway, and wait until new workers serve and old ones are told to go."""
    before = gateway.log_text().count("takes over")
    if number % 2:
        gateway.process.send_signal(signal.SIGHUP)
    else:
        await asyncio.to_thread(
            lambda: httpx.post(gateway.admin_url + "/admin/config/reload", timeout=LIMIT_S)
        )
    await settled(lambda: gateway.log_text().count("takes over") > before, "a restart")
    gateway.must_run()


@pytest.mark.figures
@pytest.mark.parametrize(("restarts", "streams"), SIZES)
async def test_the_gateway_restarts_in_place_and_no_stream_is_refused_cut_or_untrue(
    start_gateway, tmp_path, note_figures, restarts, streams
):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    replicas = {r["id"]: r["url"] for r in gateway.ready_replicas(MODEL)}
    first = set(worker_pids(gateway))
    async with loading(await load_of(gateway), streams=streams, kept=10) as load:
        await settled(lambda: load.live >= streams, "all streams run")
        for number in range(restarts):
            await restart_in_place(gateway, number)
    assert load.harm == {}, load.notes
    assert {r["id"]: r["url"] for r in gateway.ready_replicas(MODEL)} == replicas
    assert load.seen["streams"] >= streams

    def only_the_last_ones():
        left = set(worker_pids(gateway))
        return len(left) == 2 and not left & first

    await settled(only_the_last_ones, "the old workers are gone")
    if streams >= 200:
        note_figures("rolling_restart", restarts=restarts, live=streams, **load.figures())


async def test_old_workers_that_close_idle_connections_at_once_are_found_out(
    start_gateway, tmp_path
):
    folder = Path(__file__).parents[1] / "fakes/changed_worker"
    changed = {"PYTHONPATH": str(folder), "CHANGED_WORKER": "no_last_connections"}
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2}, environ=changed)
    async with loading(await load_of(gateway), streams=10, kept=60) as load:
        await settled(lambda: load.live >= 10, "all streams run")
        for number in range(2):
            await restart_in_place(gateway, number)
    assert set(load.harm) == {"cut"}, load.notes


async def test_an_end_and_a_start_in_its_place_turns_clients_away(tmp_path):
    config = config_of(tmp_path, replicas_on_exit="keep")
    with running_gateway(tmp_path, config=config, ready={MODEL: 2}, expect_left=True) as first:
        load = await load_of(first)
        async with loading(load, streams=10):
            await settled(lambda: load.live >= 10, "all streams run")
            await asyncio.to_thread(first.stop)
            config["server"]["replicas_on_exit"] = "stop"
            with running_gateway(tmp_path, config=config) as second:
                await asyncio.to_thread(second.wait_ready, {MODEL: 2})
                assert load.seen["refused"] > 0
                assert load.seen["cut"] == 0, "what runs is finished all the same"


async def restart_replica(gateway, replica_id):
    answer = await asyncio.to_thread(
        httpx.post, f"{gateway.admin_url}/admin/replicas/{replica_id}/restart", timeout=30
    )
    operation = f"/admin/operations/{answer.json()['id']}"
    await settled(lambda: gateway.admin(operation)["state"] != "running", "it started again")
    assert gateway.admin(operation)["state"] == "done"


@pytest.mark.figures
@pytest.mark.parametrize(("restarts", "streams"), SIZES)
async def test_replicas_restart_one_by_one_and_no_stream_is_refused_cut_or_untrue(
    start_gateway, tmp_path, note_figures, restarts, streams
):
    gateway = start_gateway(config=config_of(tmp_path, replicas=3), ready={MODEL: 3})
    names = [r["id"] for r in gateway.ready_replicas(MODEL)]
    async with loading(await load_of(gateway), streams=streams, kept=10) as load:
        await settled(lambda: load.live >= streams, "all streams run")
        for number in range(restarts):
            await restart_replica(gateway, names[number % len(names)])
    assert load.harm == {}, load.notes
    if streams >= 200:
        note_figures(
            "rolling_restart_of_replicas", restarts=restarts, live=streams, **load.figures()
        )


def reload(gateway):
    return httpx.post(gateway.admin_url + "/admin/config/reload", timeout=LIMIT_S)


def rewrite(folder, change):
    file = folder / "gateway.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))


def test_a_new_configuration_holds_after_a_restart_with_other_workers_too(
    start_gateway, tmp_path
):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    for count in (3, 1):

        def change(config, count=count):
            config["server"]["workers"] = count
            config["models"][0]["aliases"] = [f"alias-{count}"]

        rewrite(tmp_path, change)
        run = [str(Path(sys.executable).with_name("trtllm-gateway")), "restart"]
        done = subprocess.run(
            [*run, "--admin-url", gateway.admin_url],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        eventually(lambda count=count: len(worker_pids(gateway)) == count, f"{count} workers")
        for _ in range(40):  # each of the sockets that were ever there is served
            body = {**asked(1, 2), "model": f"alias-{count}", "stream_options": None}
            assert httpx.post(gateway.url + CHAT, json=body, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["server"].update(hedaer_s=1), "hedaer_s"),
        (lambda c: c["server"].update(port=1), "server.port"),
        (lambda c: c["state"].update(dir="/nowhere"), "state.dir"),
        (
            lambda c: c["auth"].update(mode="keys", keys=[{"name": "a", "key_file": "/no"}]),
            "/no",
        ),
    ],
    ids=["unknown key", "other port", "other state", "no secret"],
)
def test_a_configuration_that_does_not_hold_changes_nothing_and_is_told(
    start_gateway, tmp_path, change, said
):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    before = worker_pids(gateway)
    rewrite(tmp_path, change)
    answer = reload(gateway)
    assert answer.status_code == 409
    assert said in answer.json()["detail"]
    gateway.process.send_signal(signal.SIGHUP)
    eventually(lambda: "not restarted" in gateway.log_text(), "the log says it too")
    assert said in gateway.log_text().rpartition("not restarted")[2]
    assert worker_pids(gateway) == before
    assert httpx.get(gateway.url + "/ready", timeout=10).status_code == 200


def test_an_end_that_is_asked_for_in_a_restart_comes_after_it(start_gateway, tmp_path):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    assert reload(gateway).status_code == 202
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(timeout=LIMIT_S) == 0
