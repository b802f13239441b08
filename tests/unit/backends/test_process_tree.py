"""The trees that replicas are: ranks, orphans, crashes, and what does not end."""

import os
import signal
import subprocess
import sys
from functools import partial

import anyio
import pytest

from backends import procfs
from backends.launcher import CapacityError, StopNotProven
from backends.process_tree import end_tree
from tests.fakes.launching import FAKE, R1, ROOT, ended, eventually, running, spec, started

pytestmark = pytest.mark.anyio


async def test_a_replica_that_ignores_sigterm_is_killed_after_its_grace(
    fresh, tagged, tmp_path
):
    async with running(fresh) as launcher:
        await launcher.launch(spec(FAKE_IGNORE_TERM="1"), R1)
        await started(tmp_path)
        await launcher.stop(R1, grace_s=0.2)
        assert tagged() == []
        end = await launcher.ended(R1)
        assert (end.cause, end.code) == ("stopped", -signal.SIGKILL)


@pytest.mark.parametrize("stubborn", ["", "1"])
async def test_ranks_in_sessions_and_groups_of_their_own_end_with_their_leader(
    fresh, tagged, tmp_path, stubborn
):
    async with running(fresh) as launcher:
        await launcher.launch(spec(FAKE_RANKS="2", FAKE_STUBBORN=stubborn), R1)
        await started(tmp_path)
        tree = await eventually(lambda: len(found := tagged()) == 4 and found)
        assert len({process.stat.session for process in tree}) == 2
        assert len([process for process in tree if process.is_leader]) == 1
        await launcher.stop(R1, grace_s=0.5)
        assert tagged() == []


async def test_ranks_that_outlive_their_leader_end_before_the_next_launch(
    fresh, tagged, tmp_path
):
    async with running(fresh) as launcher:
        replica = await launcher.launch(spec(FAKE_RANKS="1", FAKE_STUBBORN="1"), R1)
        await started(tmp_path)
        ranks = await eventually(lambda: len(found := tagged()) == 3 and found)
        os.kill(replica.handle["pid"], signal.SIGKILL)
        assert (await ended(launcher)).cause == "killed"
        await launcher.launch(spec(), R1)
        old = {(rank.pid, rank.stat.start_ticks) for rank in ranks}
        assert not old & {(p.pid, p.stat.start_ticks) for p in tagged()}


async def test_ranks_without_a_leader_are_ended_by_adoption(fresh, tagged, tmp_path):
    async with running(fresh) as launcher:
        replica = await launcher.launch(spec(FAKE_RANKS="1"), R1)
        await started(tmp_path)
        await eventually(lambda: len(tagged()) == 3)
        os.kill(replica.handle["pid"], signal.SIGKILL)
        await ended(launcher)
        successor = fresh()
        assert [found async for found in successor.adopt()] == []
        await successor.close()
        assert tagged() == []


_PARENT = """
import asyncio, os, sys, time
from pathlib import Path
from backends.ports import Ports
from backends.process import ProcessLauncher
from backends.process_tree import end_tree
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


class Unkillable:
    """A process that no signal reaches: its start ticks are not those of any process."""

    def __call__(self):
        stat = procfs.Stat("D", 1, 2**22 + 1, 0, 0)
        tags = {procfs.REPLICA_ID: "r1", procfs.LEADER: "1"}
        return [procfs.TaggedProcess(2**22 + 1, stat, tags)]


async def test_what_does_not_end_is_said_to_be_still_there():
    with pytest.raises(StopNotProven, match=r"pid 4194305 \(state D\); it may hold GPUs"):
        await end_tree(Unkillable(), settle_s=0.01, kill_s=0.01)


async def test_a_replica_whose_former_processes_do_not_end_is_not_launched(fresh, monkeypatch):
    monkeypatch.setattr("backends.process.end_tree", partial(end_tree, kill_s=0.01))
    launcher = fresh()
    monkeypatch.setattr(procfs, "find_tagged", lambda *_: Unkillable()())
    with pytest.raises(CapacityError, match="its former processes are still running"):
        await launcher.launch(spec(), R1)
    await launcher.close()


async def test_a_leader_that_died_during_adoption_is_not_adopted(fresh, monkeypatch):
    launcher = fresh()
    stat = procfs.Stat("R", 1, 2**22 + 1, 0, 0)
    tags = {procfs.REPLICA_ID: "r1", procfs.URL: "http://127.0.0.1:1"}
    gone = [procfs.TaggedProcess(2**22 + 1, stat, tags)]
    monkeypatch.setattr(procfs, "find_tagged", lambda *_: gone)
    assert [found async for found in launcher.adopt()] == []
    await launcher.close()
