"""Processes of the gateway are killed one by one: what goes on, what comes back."""

import asyncio
import os
import signal
import subprocess

import httpx
import pytest

from tests.system.family import worker_pids
from tests.system.running import eventually, gateway_config, running_gateway
from tests.system.streaming import stream
from tests.system.test_streams import CHAT, MODEL, asked, simulated, underway

pytestmark = pytest.mark.anyio


def config_of(tmp_path, **server):
    return gateway_config(tmp_path, server=server, models=[simulated(2)])


def _status(url):
    return httpx.get(url, timeout=10).status_code


async def test_a_killed_worker_comes_back_and_the_other_one_serves_on(start_gateway, tmp_path):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    before = worker_pids(gateway)
    os.kill(before[0], signal.SIGKILL)

    def back():
        metrics = httpx.get(gateway.admin_url + "/metrics").text
        up = [line for line in metrics.splitlines() if line.startswith("trtgw_worker_up")]
        return len(up) == 2 and all(line.endswith(" 1.0") for line in up) and killed_gone()

    def killed_gone():
        return before[0] not in worker_pids(gateway)

    eventually(back, "two workers run again", every_s=0.01)
    seen = await asyncio.gather(*(stream(gateway.url, CHAT, asked(i, 4)) for i in range(40)))
    assert all(s.complete for s in seen)
    board = gateway.admin("/admin/replicas")["items"]
    assert sum(r["in_flight"] for r in board) == 0, "the dead worker's requests are forgotten"


async def test_a_worker_that_comes_as_the_gateway_ends_ends_too(start_gateway, tmp_path):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    os.kill(worker_pids(gateway)[0], signal.SIGKILL)
    eventually(lambda: len(worker_pids(gateway)) == 2, "its successor starts", every_s=0.005)
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(timeout=30) == 0


async def test_workers_serve_on_while_the_supervisor_is_gone_and_hand_over_to_the_next_one(
    tmp_path,
):
    config = config_of(tmp_path, replicas_on_exit="keep")
    with running_gateway(tmp_path, config=config, ready={MODEL: 2}, expect_left=True) as first:
        replicas = {r["id"]: r["url"] for r in first.ready_replicas(MODEL)}
        old_workers = set(worker_pids(first))
        running = [
            asyncio.ensure_future(stream(first.url, CHAT, asked(i, 300))) for i in range(20)
        ]
        await underway(first, 20)
        os.kill(first.pid, signal.SIGKILL)
        first.process.wait()
        alone = await stream(first.url, CHAT, asked(100, 4))
        assert alone.complete, "workers serve from their last snapshot"
        config["server"]["replicas_on_exit"] = "stop"
        with running_gateway(tmp_path, config=config, ready={MODEL: 2}) as second:
            adopted = {r["id"]: r["url"] for r in second.ready_replicas(MODEL)}
            assert adopted == replicas, "none lost, none doubled"
            seen = await asyncio.gather(*running)
            assert all(s.complete for s in seen), "no stream was cut by the hand-over"

            def handed_over():
                return not old_workers & set(worker_pids(second))

            eventually(handed_over, "the old workers finished and left")
            after = await stream(second.url, CHAT, asked(101, 4))
            assert after.complete


async def test_a_worker_that_is_alone_for_long_drains_by_itself(tmp_path):
    config = config_of(tmp_path, workers=1, replicas_on_exit="keep")
    with running_gateway(
        tmp_path,
        config=config,
        ready={MODEL: 2},
        environ={"TRTLLM_GATEWAY_WORKER_ALONE_S": "1"},
        expect_left=True,
    ) as gateway:
        (worker,) = worker_pids(gateway)
        running = asyncio.ensure_future(stream(gateway.url, CHAT, asked(0, 150)))
        await underway(gateway, 1)
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.process.wait()
        seen = await running
        assert seen.complete, "what runs is finished first"
        eventually(lambda: worker not in worker_pids(gateway), "the worker left")
        for left in gateway.family():
            os.kill(left.pid, signal.SIGKILL)


async def test_sigterm_finishes_what_runs_and_refuses_what_comes(start_gateway, tmp_path):
    gateway = start_gateway(config=config_of(tmp_path, drain_delay_s=1), ready={MODEL: 2})
    running = [
        asyncio.ensure_future(stream(gateway.url, CHAT, asked(i, 100))) for i in range(10)
    ]
    await underway(gateway, 10)
    gateway.process.send_signal(signal.SIGTERM)
    eventually(lambda: _status(gateway.url + "/ready") == 503, "readiness is withdrawn")
    seen = await asyncio.gather(*running)
    assert all(s.complete for s in seen)
    assert gateway.process.wait(timeout=30) == 0
    with pytest.raises(httpx.ConnectError):
        _status(gateway.url + "/live")


async def test_at_the_end_of_the_grace_a_stream_ends_in_an_error_event(start_gateway, tmp_path):
    gateway = start_gateway(config=config_of(tmp_path, grace_s=1), ready={MODEL: 2})
    running = asyncio.ensure_future(stream(gateway.url, CHAT, asked(0, 2000)))
    await underway(gateway, 1)
    gateway.process.send_signal(signal.SIGTERM)
    seen = await running
    assert not seen.complete
    assert seen.ended
    assert seen.error is not None
    assert seen.error["code"] == "server_shutting_down"
    assert gateway.process.wait(timeout=30) == 0


def test_a_second_gateway_on_the_same_port_does_not_start(start_gateway, tmp_path):
    config = config_of(tmp_path)
    gateway = start_gateway(config=config, ready={MODEL: 2})
    other = {
        "TRTGW_SERVER__PORT": gateway.url.rpartition(":")[2],
        "TRTGW_STATE__DIR": str(tmp_path / "other"),
    }
    done = subprocess.run(
        [".venv/bin/trtllm-gateway", "serve"],
        env={**os.environ, **other},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "the data port 127.0.0.1:" in done.stderr
    assert "--port" in done.stderr


def test_a_second_gateway_on_the_same_state_does_not_start(start_gateway, tmp_path):
    gateway = start_gateway(config=config_of(tmp_path), ready={MODEL: 2})
    done = subprocess.run(
        [".venv/bin/trtllm-gateway", "serve", "--port", "0", "--admin-port", "0"],
        env={**os.environ, "TRTGW_STATE__DIR": str(gateway.state_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"another gateway (process {gateway.pid})" in done.stderr
