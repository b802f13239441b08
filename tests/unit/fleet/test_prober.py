import asyncio
from dataclasses import replace

import pytest

from backends.launcher import Exit
from backends.replica import ReplicaState as S
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.fleet.planning import CreateRequest
from gateway.fleet.settings import ProbeSettings
from gateway.state.store import Desired

pytestmark = pytest.mark.anyio

FAST = ProbeSettings(loading_s=0.01, ready_s=0.01)
UNWELL = ProbeResult(ProbeOutcome.UNWELL, "/health answers 503")


@pytest.fixture
def world(make_world):
    return make_world(probe=FAST, reconcile={"interval_s": 0.01})


async def until(fact):
    async with asyncio.timeout(30):
        while not fact():  # noqa: ASYNC110 - the fact has no event of its own
            await asyncio.sleep(0.005)


async def launched(world, count=1):
    """A fleet whose replicas are started and not probed yet."""
    fleet = await world.boot()
    for _ in range(count):
        await fleet.create(CreateRequest("big"))
    async with asyncio.TaskGroup() as tasks:
        await fleet._reconciler.step(tasks)
    return fleet, fleet.replicas()


async def test_one_slow_replica_delays_no_other(world):
    fleet, (slow, other) = await launched(world, 2)
    hangs = world.probe.answers[slow.url] = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet._prober.run())
        await until(lambda: fleet.replica(other.id).state is S.READY)
        assert fleet.replica(slow.id).state is S.LOADING
        hangs.set()
        await until(lambda: fleet.replica(slow.id).state is S.READY)
        running.cancel()


async def test_ready_needs_a_generation_and_then_the_cheap_probe_is_enough(world):
    fleet, (record,) = await launched(world)
    for _ in range(2):
        await fleet._prober.probe_once(fleet.replica(record.id))
    assert [prove for _, _, prove in world.probe.asked] == [True, False]
    world.probe.answers[record.url] = UNWELL
    for _ in range(3):
        await fleet._prober.probe_once(fleet.replica(record.id))
    assert fleet.replica(record.id).state is S.UNHEALTHY
    assert fleet.replica(record.id).reason == "/health answers 503"
    await fleet._prober.probe_once(fleet.replica(record.id))
    assert world.probe.asked[-1] == (record.url, "org/big", True)
    assert world.observed[0] == (record.id, ProbeOutcome.OK)
    assert world.observed[-1] == (record.id, ProbeOutcome.UNWELL)


async def test_a_suspected_replica_is_probed_before_its_time(make_world):
    world = make_world(probe=ProbeSettings(loading_s=0.01, ready_s=3600.0))
    fleet, (record,) = await launched(world)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await until(lambda: fleet.replica(record.id).state is S.READY)
        probes = len(world.probe.asked)
        fleet.suspect("nobody")
        fleet.suspect(record.id)
        await until(lambda: len(world.probe.asked) > probes)
        running.cancel()


async def test_a_suspected_replica_whose_process_ended_is_out_at_once(make_world):
    world = make_world(probe=FAST, reconcile={"interval_s": 3600.0})
    fleet = await world.boot()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        operation = await fleet.create(CreateRequest("big"))
        await until(lambda: fleet.replica(operation.replica_id).state is S.READY)
        world.host.kill(operation.replica_id, Exit(-9, "killed", "killed"))
        fleet.suspect(operation.replica_id)
        await until(lambda: fleet.replica(operation.replica_id).state is S.BACKOFF)
        running.cancel()


async def test_a_result_that_comes_after_the_replica_was_drained_is_thrown_away(world):
    fleet, (record,) = await launched(world)
    answer = world.probe.answers[record.url] = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        probing = tasks.create_task(fleet._prober.probe_once(record))
        await until(lambda: world.probe.asked)
        await fleet.delete(record.id)
        async with asyncio.TaskGroup() as acts:
            await fleet._reconciler.step(acts)
        answer.set()
        await probing
    assert fleet.replica(record.id).state is S.STOPPING


async def test_a_result_of_an_earlier_run_is_thrown_away(world):
    fleet, (record,) = await launched(world)
    before = replace(record, handle={"pid": 999})
    await fleet._prober.probe_once(before)
    assert fleet.replica(record.id).state is S.LOADING
    await fleet._prober.probe_once(record)
    assert fleet.replica(record.id).state is S.READY


async def test_the_whole_fleet_runs_by_itself(world):
    """Start, die, come back, drain: with the real loops and no help."""
    world.settings = replace(
        world.settings,
        reconcile=replace(world.settings.reconcile, backoff_s=0.0, settle_s=0.0),
    )
    fleet = await world.boot()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        operation = await fleet.create(CreateRequest("big"))
        async with asyncio.timeout(30):
            steps = [step async for step in fleet.follow(operation.id)]
        assert steps[-1].step == "ready"
        record = fleet.replica(operation.replica_id)
        del world.host.running[record.id]
        await until(lambda: len(world.host.starts) == 2)
        await until(lambda: fleet.replica(record.id).state is S.READY)
        deletion = await fleet.delete(record.id)
        async with asyncio.timeout(30):
            steps = [step async for step in fleet.follow(deletion.id)]
        assert steps[-1].step == "forgotten"
        await until(lambda: not fleet._prober._probing)
        running.cancel()
    assert world.host.running == {}
    assert fleet.replicas() == []


async def test_a_probe_that_found_the_model_out_names_it_once(world):
    fleet = await world.boot()
    await fleet.register("http://10.0.0.9:8000")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await until(lambda: fleet.replicas()[0].state is S.READY)
        running.cancel()
    (record,) = fleet.replicas()
    assert (record.spec.model, record.spec.source) == ("found", "found")
    assert record.desired is Desired.RUN
