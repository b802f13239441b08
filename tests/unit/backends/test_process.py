"""The process launcher where it is more than any launcher: trees, signals, tags, crashes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from backends import procfs
from backends.launcher import CapacityError, LaunchError, Remedy
from backends.ports import Ports
from backends.process import ProcessLauncher
from backends.replica import ReplicaId, ReplicaSpec

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
FAKE = ROOT / "tests" / "fakes" / "trtllm_serve.py"
R1 = ReplicaId("r1")


def spec(*, gpus=(), files=None, argv=None, **env):
    command = (sys.executable, str(FAKE), "m", "--host", "{host}", "--port", "{port}")
    return ReplicaSpec(
        "m", "m", "process", argv=argv or command, env=env, files=files or {}, gpus=gpus
    )


@pytest.fixture
def instance(tmp_path):
    return f"unit-{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def fresh(tmp_path, instance):
    def make(environ=None):
        return ProcessLauncher(
            tmp_path / "replicas",
            instance,
            environ=environ or {"PATH": os.environ["PATH"]},
            ports=Ports(range(22400, 22700)),
            clock=time.monotonic,
        )

    return make


@asynccontextmanager
async def running(make, **options):
    launcher = make(**options)
    try:
        yield launcher
    finally:
        sweeper = make()
        async for replica in sweeper.adopt():
            await sweeper.stop(replica.id, grace_s=0)
        await sweeper.close()
        await launcher.close()


async def eventually(condition, *, within_s=60.0):
    with anyio.fail_after(within_s):
        while not (value := condition()):  # noqa: ASYNC110 - another process decides
            await anyio.sleep(0.02)
    return value


async def started(tmp_path):
    log = tmp_path / "replicas" / "r1" / "output.log"
    await eventually(lambda: log.exists() and "visible devices" in log.read_text())
    return log.read_text()


async def ended(launcher, replica_id=R1):
    with anyio.fail_after(60):
        while (end := await launcher.ended(replica_id)) is None:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.02)
    return end


def tagged(instance):
    return procfs.find_tagged(instance, "process")


async def test_a_replica_that_ignores_sigterm_is_killed_after_its_grace(
    fresh, instance, tmp_path
):
    async with running(fresh) as launcher:
        await launcher.launch(spec(FAKE_IGNORE_TERM="1"), R1)
        await started(tmp_path)
        await launcher.stop(R1, grace_s=0.2)
        assert tagged(instance) == []
        end = await launcher.ended(R1)
        assert (end.cause, end.code) == ("stopped", -signal.SIGKILL)


@pytest.mark.parametrize("stubborn", ["", "1"])
async def test_ranks_in_sessions_and_groups_of_their_own_end_with_their_leader(
    fresh, instance, tmp_path, stubborn
):
    async with running(fresh) as launcher:
        await launcher.launch(spec(FAKE_RANKS="2", FAKE_STUBBORN=stubborn), R1)
        await started(tmp_path)
        tree = await eventually(lambda: len(found := tagged(instance)) == 4 and found)
        assert len({process.stat.session for process in tree}) == 2
        assert len([process for process in tree if process.is_leader]) == 1
        await launcher.stop(R1, grace_s=0.5)
        assert tagged(instance) == []


async def test_ranks_that_outlive_their_leader_end_before_the_next_launch(
    fresh, instance, tmp_path
):
    async with running(fresh) as launcher:
        replica = await launcher.launch(spec(FAKE_RANKS="1", FAKE_STUBBORN="1"), R1)
        await started(tmp_path)
        ranks = await eventually(lambda: len(found := tagged(instance)) == 3 and found)
        os.kill(replica.handle["pid"], signal.SIGKILL)
        assert (await ended(launcher)).cause == "killed"
        await launcher.launch(spec(), R1)
        old = {(rank.pid, rank.stat.start_ticks) for rank in ranks}
        assert not old & {(p.pid, p.stat.start_ticks) for p in tagged(instance)}


async def test_ranks_without_a_leader_are_ended_by_adoption(fresh, instance, tmp_path):
    async with running(fresh) as launcher:
        replica = await launcher.launch(spec(FAKE_RANKS="1"), R1)
        await started(tmp_path)
        await eventually(lambda: len(tagged(instance)) == 3)
        os.kill(replica.handle["pid"], signal.SIGKILL)
        await ended(launcher)
        successor = fresh()
        assert [found async for found in successor.adopt()] == []
        await successor.close()
        assert tagged(instance) == []


_PARENT = """
import asyncio, os, sys, time
from pathlib import Path
from backends.ports import Ports
from backends.process import ProcessLauncher
from backends.replica import ReplicaId, ReplicaSpec

async def main(folder, instance, fake):
    ports = Ports(range(22400, 22700))
    launcher = ProcessLauncher(
        Path(folder), instance, environ=dict(os.environ), ports=ports, clock=time.monotonic
    )
    argv = (sys.executable, fake, "m", "--host", "{host}", "--port", "{port}")
    spec = ReplicaSpec("m", "m", "process", argv=argv)
    print((await launcher.launch(spec, ReplicaId("r1"))).url, flush=True)
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_gateway_killed_with_sigkill_leaves_a_replica_that_the_next_one_adopts(
    fresh, instance, tmp_path
):
    command = [sys.executable, "-c", _PARENT, tmp_path / "replicas", instance, FAKE]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def launch_and_die():
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
            url = parent.stdout.readline().decode().strip()
            parent.kill()
            return url

    url = await anyio.to_thread.run_sync(launch_and_die)
    async with running(fresh) as launcher:
        [replica] = [found async for found in launcher.adopt()]
        assert (replica.id, replica.url) == (R1, url)
        os.kill(replica.handle["pid"], signal.SIGKILL)
        end = await ended(launcher)
        assert (end.code, end.cause) == (None, "unknown")


async def test_a_failed_start_says_why_and_whether_to_try_again(fresh):
    async with running(fresh) as launcher:
        line = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
        await launcher.launch(spec(FAKE_FAIL=line), R1)
        end = await ended(launcher)
        assert (end.code, end.cause, end.remedy) == (1, "gpu_oom", Remedy.PERMANENT)
        assert "kv_cache_free_gpu_memory_fraction" in end.message


async def test_a_replica_that_ended_while_nobody_watched_is_judged_by_its_log(fresh):
    async with running(fresh) as launcher:
        await launcher.launch(spec(FAKE_FAIL="GatedRepoError: 403"), R1)
        await ended(launcher)
        successor = fresh()
        end = await successor.ended(R1)
        await successor.close()
        assert (end.code, end.cause) == (None, "model_access")


async def test_an_exit_code_is_reported(fresh):
    async with running(fresh) as launcher:
        await launcher.launch(spec(FAKE_EXIT="7"), R1)
        end = await ended(launcher)
        assert (end.code, end.cause, end.remedy) == (7, "exited", Remedy.RETRY)


async def test_a_replica_gets_its_gpus_and_no_secret_of_the_gateway(fresh, instance, tmp_path):
    environ = {
        "PATH": os.environ["PATH"],
        "TRTGW_ADMIN_TOKEN": "t",
        "OMPI_COMM_WORLD_RANK": "0",
    }
    async with running(fresh, environ=environ) as launcher:
        await launcher.launch(spec(gpus=("GPU-a", "GPU-b")), R1)
        assert "visible devices: GPU-a,GPU-b" in await started(tmp_path)
        [leader] = tagged(instance)
        assert "TRTGW_ADMIN_TOKEN" not in leader.tags
        variables = await anyio.Path(f"/proc/{leader.pid}/environ").read_bytes()
        assert b"OMPI_COMM_WORLD_RANK" not in variables


async def test_files_are_written_beside_the_log_and_named_in_the_command(fresh):
    script = ("/bin/sh", "-c", 'cat "$0"', "{file:config.yml}")
    async with running(fresh) as launcher:
        await launcher.launch(spec(argv=script, files={"config.yml": "a: 1\n"}), R1)
        assert (await ended(launcher)).code == 0
        lines = [line.line async for line in launcher.logs(R1, tail=10, follow=False)]
        assert lines == ["a: 1"]


async def test_a_file_that_the_specification_lacks_is_refused(fresh):
    async with running(fresh) as launcher:
        with pytest.raises(LaunchError, match="no such file"):
            await launcher.launch(spec(argv=("/bin/true", "{file:other.yml}")), R1)


async def test_a_specification_without_a_command_is_refused(fresh):
    async with running(fresh) as launcher:
        with pytest.raises(LaunchError, match="no command"):
            await launcher.launch(ReplicaSpec("m", "m", "process"), R1)


async def test_a_folder_that_cannot_be_written_is_refused_with_what_would_have_run(
    fresh, tmp_path
):
    (tmp_path / "replicas").write_text("in the way")
    async with running(fresh) as launcher:
        with pytest.raises(LaunchError, match="would have run"):
            await launcher.launch(spec(), R1)


async def test_a_refused_launch_gives_its_port_back(tmp_path, instance):
    one = ProcessLauncher(
        tmp_path / "replicas",
        instance,
        environ={"PATH": "/nowhere"},
        ports=Ports(range(22700, 22701)),
        clock=time.monotonic,
    )
    for _ in range(2):
        with pytest.raises(LaunchError, match="is not on PATH"):
            await one.launch(spec(argv=("trtllm-serve", "m")), R1)
    await one.close()


async def test_without_a_free_port_there_is_no_capacity(tmp_path, instance):
    ports = Ports(range(22701, 22702))
    assert ports.reserve(22701)
    full = ProcessLauncher(tmp_path, instance, environ={}, ports=ports, clock=time.monotonic)
    with pytest.raises(CapacityError, match="no free port"):
        await full.launch(spec(), R1)
    await full.close()


async def test_the_log_of_an_earlier_life_is_put_aside(fresh, tmp_path):
    async with running(fresh) as launcher:
        await launcher.launch(spec(argv=("/bin/echo", "first")), R1)
        await ended(launcher)
        await launcher.launch(spec(argv=("/bin/echo", "second")), R1)
        await ended(launcher)
        home = tmp_path / "replicas" / "r1"
        assert (home / "output.log").read_text() == "second\n"
        assert (home / "output.previous.log").read_text() == "first\n"


async def test_a_launch_goes_on_when_a_caller_gives_up(fresh, instance):
    async with running(fresh) as launcher:
        with anyio.move_on_after(0):
            await launcher.launch(spec(), R1)
        replica = await launcher.launch(spec(), R1)
        assert [p.pid for p in tagged(instance)] == [replica.handle["pid"]]
