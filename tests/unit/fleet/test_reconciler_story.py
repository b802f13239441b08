import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.launcher import CapacityError, Exit, Remedy
from backends.replica import ReplicaState as S
from gateway.fleet.errors import FleetError
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.fleet.planning import CreateRequest
from gateway.state.store import Desired
from tests.fakes.fleet_world import World
from tests.fakes.launcher import Crash

pytestmark = pytest.mark.anyio

DIED = Exit(1, "exited", "it ended with code 1")
HOPELESS = Exit(1, "gpu_oom", "too big", Remedy.PERMANENT)


replica_number = st.integers(0, 9)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(["big", "small"])),
        st.tuples(st.just("scale"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["drain", "delete", "restart"]), replica_number),
        st.tuples(st.sampled_from(["die", "run_out_of_memory", "resist"]), replica_number),
        st.tuples(st.just("fail_to_launch"), st.sampled_from(["full", "broken", "crash"])),
        st.tuples(st.just("crash_after_launch"), st.just(0)),
        st.tuples(st.just("crash_in_commit"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 30.0, 400.0, 4000.0])),
        st.tuples(st.sampled_from(["kill_gateway", "reboot_machine"]), st.just(0)),
        st.tuples(st.sampled_from(["fall_ill", "get_well"]), replica_number),
    ),
    max_size=25,
)


class Story:
    """Does one thing after another to a world; a crash anywhere boots the gateway again."""

    def __init__(self, world):
        self.world = world

    async def begin(self):
        try:
            self.fleet = await self.world.boot()
        except Crash:
            await self.begin()

    def pick(self, number):
        records = self.fleet.replicas()
        return records[number % len(records)].id if records else "nobody"

    async def do(self, verb, what):
        try:
            await getattr(self, verb)(what)
            await self.world.step(self.fleet, seconds=0.5)
        except FleetError:
            return
        except Crash:
            await self.begin()
        except BaseExceptionGroup as several:
            if several.split(Crash)[1]:
                raise
            await self.begin()

    async def create(self, model):
        key = "key" if self.world.rng.random() < 0.3 else None
        await self.fleet.create(CreateRequest(model), key)

    async def scale(self, replicas):
        await self.fleet.scale("big", replicas)

    async def drain(self, number):
        await self.fleet.drain(self.pick(number), 10)

    async def delete(self, number):
        await self.fleet.delete(self.pick(number), 10)

    async def restart(self, number):
        await self.fleet.restart(self.pick(number), 10)

    async def die(self, number):
        self.world.host.kill(self.pick(number), DIED)

    async def run_out_of_memory(self, number):
        self.world.host.kill(self.pick(number), HOPELESS)

    async def resist(self, number):
        self.world.host.stubborn.add(self.pick(number))

    async def fail_to_launch(self, how):
        problem = {"full": CapacityError("full"), "broken": OSError(5, "broken")}.get(how)
        self.world.launcher.script.append(problem or Crash())

    async def crash_after_launch(self, _):
        self.world.launcher.crash_after_launch = True

    async def crash_in_commit(self, number):
        self.world.store.crash_in = number

    async def wait(self, seconds):
        await self.world.step(self.fleet, seconds=seconds, times=2)

    async def kill_gateway(self, _):
        await self.begin()

    async def reboot_machine(self, _):
        for replica_id in list(self.world.host.running):
            self.world.host.kill(replica_id, DIED)
        self.world.host.remains.clear()
        await self.begin()

    async def fall_ill(self, number):
        record = self.fleet.replica(self.pick(number))
        self.world.probe.answers[record.url] = ProbeResult(ProbeOutcome.UNWELL, "503")

    async def get_well(self, _):
        self.world.probe.answers.clear()

    async def calm_down(self):
        """Let everything work again, and time pass."""
        world = self.world
        world.host.stubborn.clear()
        world.launcher.script.clear()
        world.launcher.crash_after_launch = False
        world.store.crash_in = None
        world.probe.answers.clear()
        await self.begin()
        await world.step(self.fleet, seconds=70, times=30)


@settings(max_examples=200, deadline=None)
@given(story=actions, seed=st.integers(0, 1000))
def test_whatever_happens_what_is_wanted_ends_running_once_and_the_rest_is_gone(story, seed):
    async def play(path):
        world = World(path, seed=seed)
        try:
            told = Story(world)
            await told.begin()
            for verb, what in story:
                await told.do(verb, what)
            await told.calm_down()
            check(world, told.fleet)
        finally:
            world.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


def check(world, fleet):
    wanted = [r for r in fleet.replicas() if r.desired is Desired.RUN]
    up = {r.id for r in wanted if r.state is S.READY}
    assert all(r.state in {S.READY, S.FAILED} for r in wanted)
    assert all(r.state is S.STOPPED for r in fleet.replicas() if r.desired is Desired.STOP)
    assert all(r.desired is not Desired.FORGET for r in fleet.replicas())
    assert set(world.host.running) == up
    assert world.host.doubled == []
    assert not world.host.remains
    for status in fleet.models():
        mine = [r for r in wanted if r.spec.model == status.name]
        assert len(mine) == status.desired
