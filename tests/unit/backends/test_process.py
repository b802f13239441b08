"""The process launcher where it is more than any launcher."""

import errno
import os
import time
from functools import partial

import anyio
import pytest

from backends import logfile, procfs
from backends.launcher import CapacityError, LaunchError, Remedy
from backends.ports import Ports
from backends.process import ProcessLauncher
from backends.replica import ReplicaId, ReplicaSpec
from tests.fakes.launching import R1, ended, eventually, running, spec, started

pytestmark = pytest.mark.anyio


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


async def test_a_replica_gets_its_gpus_and_no_secret_of_the_gateway(fresh, tagged, tmp_path):
    environ = {
        "PATH": os.environ["PATH"],
        "TRTGW_ADMIN_TOKEN": "t",
        "OMPI_COMM_WORLD_RANK": "0",
    }
    async with running(fresh, environ=environ) as launcher:
        await launcher.launch(spec(gpus=("GPU-a", "GPU-b")), R1)
        assert "visible devices: GPU-a,GPU-b" in await started(tmp_path)
        [leader] = tagged()
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


async def test_a_folder_that_cannot_be_written_is_refused(fresh, tmp_path):
    (tmp_path / "replicas").write_text("in the way")
    launcher = fresh()
    with pytest.raises(LaunchError, match=r"File exists.*; replicas cannot be started in"):
        await launcher.launch(spec(), R1)
    await launcher.close()


async def test_a_command_that_cannot_be_run_is_refused_with_what_would_have_run(
    fresh, tmp_path
):
    (tmp_path / "replicas").mkdir()
    (tmp_path / "replicas" / "r1").write_text("in the way")
    async with running(fresh) as launcher:
        with pytest.raises(LaunchError, match="would have run: "):
            await launcher.launch(spec(), R1)


async def test_a_process_that_cannot_be_watched_does_not_run(fresh, tagged, monkeypatch):
    def full(_):
        raise OSError(errno.EMFILE, "Too many open files")

    async with running(fresh) as launcher:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", full)
            with pytest.raises(CapacityError, match="no room now"):
                await launcher.launch(spec(), R1)
        assert tagged() == []


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


async def test_a_launch_goes_on_when_a_caller_gives_up(fresh, tagged):
    async with running(fresh) as launcher:
        with anyio.move_on_after(0):
            await launcher.launch(spec(), R1)
        replica = await launcher.launch(spec(), R1)
        assert [p.pid for p in tagged()] == [replica.handle["pid"]]


async def test_a_full_process_table_is_no_capacity_for_now(fresh, monkeypatch):
    def full(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", full)
    async with running(fresh) as launcher:
        with pytest.raises(CapacityError, match="no room"):
            await launcher.launch(spec(), R1)


async def test_logs_are_rotated_while_a_replica_runs(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr("backends.process._TEND_EVERY_S", 0.01)
    monkeypatch.setattr(logfile, "rotate", partial(logfile.rotate, limit_bytes=10))
    async with running(fresh) as launcher:
        await launcher.launch(spec(), R1)
        rotated = tmp_path / "replicas" / "r1" / "output.log.1"
        await eventually(rotated.exists)


async def test_a_log_that_cannot_be_rotated_is_warned_of(fresh, monkeypatch, caplog):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("backends.process._TEND_EVERY_S", 0.01)
    monkeypatch.setattr(logfile, "rotate", full)
    async with running(fresh) as launcher:
        await launcher.launch(spec(), R1)
        await eventually(lambda: "could not be rotated" in caplog.text)


async def test_orphans_are_collected_in_the_second_round(fresh, monkeypatch):
    collected, rounds = [], [{(1, 1), (2, 2)}, {(2, 2), (3, 3)}]
    monkeypatch.setattr("backends.process._TEND_EVERY_S", 0.01)
    monkeypatch.setattr(
        procfs, "dead_children", lambda: frozenset(rounds.pop(0) if rounds else ())
    )
    monkeypatch.setattr(procfs, "collect", collected.append)
    async with running(fresh) as launcher:
        await launcher.launch(spec(), R1)
        await eventually(lambda: not rounds and collected)
        assert collected == [2]


async def test_only_the_last_exits_are_remembered(fresh, monkeypatch):
    monkeypatch.setattr("backends.process._REMEMBERED_EXITS", 1)
    async with running(fresh) as launcher:
        for name in ("a", "b"):
            await launcher.launch(spec(argv=("/bin/sh", "-c", "exit 3")), ReplicaId(name))
            assert (await ended(launcher, ReplicaId(name))).code == 3
        assert (await launcher.ended(ReplicaId("b"))).code == 3
        assert (await launcher.ended(ReplicaId("a"))).code is None
