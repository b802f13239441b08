"""What every launcher keeps, whatever it launches on.

A launcher joins by a class with `fresh()`: a new launcher object for the same fleet, as after a
restart of the gateway.
"""

import os
import sys
import time
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from backends import procfs
from backends.launcher import LaunchError, Remedy
from backends.ports import Ports
from backends.process import ProcessLauncher
from backends.replica import ReplicaId, ReplicaSpec, spec_hash
from backends.simulated import SimulatorOptions, simulated

pytestmark = pytest.mark.anyio
FAKE = Path(__file__).parents[1] / "fakes" / "trtllm_serve.py"
ROOT = Path(__file__).parents[2]
R1, R2 = ReplicaId("r1"), ReplicaId("r2")


class Processes:
    """`ProcessLauncher` with the stand-in for ``trtllm-serve``."""

    name = "process"

    def __init__(self, folder: Path, instance: str) -> None:
        self.folder, self.instance = folder, instance

    def fresh(self) -> ProcessLauncher:
        return ProcessLauncher(
            self.folder,
            self.instance,
            name=self.name,
            environ={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SECRET": "s"},
            ports=Ports(range(22100, 22400)),
            clock=time.monotonic,
        )

    def spec(self, **env: str) -> ReplicaSpec:
        argv = (sys.executable, str(FAKE), "m", "--host", "{host}", "--port", "{port}")
        return ReplicaSpec(model="m", source="m", launcher=self.name, argv=argv, env=env)

    def leftovers(self) -> list[object]:
        return list(procfs.find_tagged(self.instance, self.name))


class Simulators(Processes):
    """`ProcessLauncher` as ``sim``, with the real simulator."""

    name = "sim"

    def spec(self, **env: str) -> ReplicaSpec:
        del env
        return simulated("m", "m", SimulatorOptions(time_scale=0.1))


@pytest.fixture(params=[Processes, Simulators], ids=lambda kind: kind.name)
def kind(request, tmp_path):
    return request.param(tmp_path / "replicas", f"law-{os.getpid()}-{tmp_path.name}")


@asynccontextmanager
async def running(kind):
    """A launcher whose replicas are ended with the test, however it goes."""
    launcher = kind.fresh()
    try:
        yield launcher
    finally:
        sweeper = kind.fresh()
        async for replica in sweeper.adopt():
            await sweeper.stop(replica.id, grace_s=0)
        await sweeper.close()
        await launcher.close()
        assert kind.leftovers() == []


async def eventually(condition, *, within_s=60.0):
    with anyio.fail_after(within_s):
        while not (value := await condition()):  # noqa: ASYNC110 - another process decides
            await anyio.sleep(0.02)
    return value


async def serves(replica):
    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"{replica.url}/health", timeout=5) as answer:  # noqa: S310 - our own replica
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    return await eventually(lambda: anyio.to_thread.run_sync(ask))


async def test_a_launched_replica_serves_at_its_url(kind):
    async with running(kind) as launcher:
        replica = await launcher.launch(kind.spec(), R1)
        assert replica.id == R1
        assert replica.spec_hash == spec_hash(kind.spec())
        assert await serves(replica)
        assert await launcher.ended(R1) is None


async def test_launching_twice_is_launching_once(kind):
    async with running(kind) as launcher:
        first = await launcher.launch(kind.spec(), R1)
        assert await launcher.launch(kind.spec(), R1) == first


async def test_launching_twice_at_the_same_time_is_launching_once(kind):
    async with running(kind) as launcher:
        seen = []

        async def one():
            seen.append(await launcher.launch(kind.spec(), R1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            tasks.start_soon(one)
        assert seen[0] == seen[1]


async def test_replicas_launched_at_the_same_time_get_their_own_addresses(kind):
    async with running(kind) as launcher, running(kind) as other:
        seen = []

        async def one(by, replica_id):
            seen.append((await by.launch(kind.spec(), replica_id)).url)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, launcher, R1)
            tasks.start_soon(one, other, R2)
        assert len(set(seen)) == 2


async def test_a_stopped_replica_is_gone_and_says_so(kind):
    async with running(kind) as launcher:
        replica = await launcher.launch(kind.spec(), R1)
        await serves(replica)
        await launcher.stop(R1, grace_s=30)
        assert kind.leftovers() == []
        assert (await launcher.ended(R1)).cause == "stopped"


async def test_stopping_twice_is_stopping_once(kind):
    async with running(kind) as launcher:
        await launcher.launch(kind.spec(), R1)
        await launcher.stop(R1, grace_s=30)
        await launcher.stop(R1, grace_s=30)


async def test_stopping_what_was_never_launched_is_no_error(kind):
    async with running(kind) as launcher:
        await launcher.stop(ReplicaId("never"), grace_s=1)


async def test_the_end_of_what_was_never_launched_is_unknown(kind):
    async with running(kind) as launcher:
        assert (await launcher.ended(ReplicaId("never"))).cause == "unknown"


async def test_a_stopped_replica_can_be_launched_again(kind):
    async with running(kind) as launcher:
        await launcher.launch(kind.spec(), R1)
        await launcher.stop(R1, grace_s=30)
        assert await serves(await launcher.launch(kind.spec(), R1))
        assert await launcher.ended(R1) is None


async def test_a_new_launcher_adopts_what_runs_and_can_stop_it(kind):
    async with running(kind) as launcher:
        replica = await launcher.launch(kind.spec(), R1)
        await serves(replica)
        await launcher.close()
        async with running(kind) as successor:
            adopted = [found async for found in successor.adopt()]
            assert adopted == [replica]
            assert await successor.ended(R1) is None
            await successor.stop(R1, grace_s=30)
            assert kind.leftovers() == []


async def test_a_new_launcher_launches_nothing_that_runs_already(kind):
    async with running(kind) as launcher:
        replica = await launcher.launch(kind.spec(), R1)
        await serves(replica)
        async with running(kind) as successor:
            assert await successor.launch(kind.spec(), R1) == replica


async def test_two_launchers_of_a_fleet_launching_at_the_same_time_launch_once(kind):
    async with running(kind) as launcher, running(kind) as other:
        seen = []

        async def one(by):
            seen.append(await by.launch(kind.spec(), R1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, launcher)
            tasks.start_soon(one, other)
        assert seen[0] == seen[1]


async def test_a_fleet_leaves_the_replicas_of_others_alone(kind):
    async with running(kind) as launcher:
        replica = await launcher.launch(kind.spec(), R1)
        stranger = type(kind)(kind.folder.parent / "other", f"{kind.instance}-other")
        async with running(stranger) as other:
            assert [found async for found in other.adopt()] == []
            await other.stop(R1, grace_s=0)
        assert await serves(replica)


async def test_logs_give_the_last_lines_and_then_new_ones_until_the_end(kind):
    async with running(kind) as launcher:
        replica = await launcher.launch(kind.spec(), R1)
        await serves(replica)
        lines = []

        async def follow():
            async for line in launcher.logs(R1, tail=100, follow=True):
                lines.append(line.line)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await launcher.stop(R1, grace_s=30)
        assert any("Uvicorn running on" in line for line in lines)
        last = [line.line async for line in launcher.logs(R1, tail=1, follow=False)]
        assert last == lines[-1:]


async def test_a_command_that_is_not_there_is_refused_with_what_would_have_run(kind):
    async with running(kind) as launcher:
        spec = ReplicaSpec("m", "m", kind.name, argv=("trtllm-serve", "m", "--port", "{port}"))
        with pytest.raises(LaunchError, match=r"trtllm-serve.* would have run: trtllm-serve m"):
            await launcher.launch(spec, R1)
        assert (await launcher.ended(R1)).remedy is Remedy.RETRY
