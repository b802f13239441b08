"""The gateway and its replicas are restarted under load, again and again: no client notices."""

import asyncio
import signal

import httpx
import pytest

from tests.system.family import worker_pids
from tests.system.rolling import Load, loading, truths
from tests.system.running import eventually, gateway_config, running_gateway
from tests.system.test_streams import MODEL, asked, simulated

pytestmark = pytest.mark.anyio
SOURCE = "nvidia/Llama-3.3-70B-Instruct-FP8"
SIZES = [
    pytest.param(2, 30, id="small"),
    pytest.param(20, 200, id="full", marks=[pytest.mark.proof, pytest.mark.timeout(1200)]),
]
LIMIT_S = 120.0


def config_of(tmp_path, replicas=2, **server):
    return gateway_config(tmp_path, server=server, models=[simulated(replicas)])


async def load_of(gateway):
    replica = gateway.ready_replicas(MODEL)[0]["url"]
    bodies = [asked(i, tokens) for i, tokens in enumerate([4, 20, 60, 60, 120, 120, 200, 300])]
    return Load(gateway.url, await truths(replica, SOURCE, bodies))


async def settled(check, what):
    return await asyncio.to_thread(eventually, check, what, deadline_s=LIMIT_S)


def generation(gateway):
    """Return the workers of the newest start: those that no other will replace."""
    return set(worker_pids(gateway))


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
