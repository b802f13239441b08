import asyncio
from dataclasses import replace

import pytest

from backends.launcher import CapacityError, Exit, LaunchError
from backends.replica import ReplicaId, ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.fleet.planning import CreateRequest
from gateway.state.store import Change, Desired, ReplicaRecord

pytestmark = pytest.mark.anyio

SPEC = ReplicaSpec("big", "org/big", "sim", argv=("run",))
STRAY = ReplicaId("stray")


async def launched_behind_the_fleets_back(world, replica_id=STRAY):
    await world.launcher.launch(SPEC, replica_id)


async def test_what_runs_without_a_record_is_ended_and_nothing_else(world):
    await launched_behind_the_fleets_back(world)
    fleet = await world.boot()
    await world.step(fleet)
    assert world.host.running == {}
    assert fleet.replicas() == []


async def test_a_stray_that_does_not_end_is_tried_until_it_does(make_world):
    world = make_world(reconcile={"lost_s": 0.01, "interval_s": 0.01})
    await launched_behind_the_fleets_back(world)
    world.host.stubborn.add(STRAY)
    fleet = await world.boot()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await asyncio.sleep(0.05)
        assert STRAY in world.host.running
        world.host.stubborn.clear()
        while world.host.running:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
        running.cancel()


async def test_one_that_runs_though_its_record_says_stopped_is_ended_before_it_starts_again(
    world,
):
    record = ReplicaRecord(STRAY, SPEC, Desired.FORGET, S.STOPPED, 1.0)
    await world.store.commit(Change(replicas=(record,)))
    await launched_behind_the_fleets_back(world)
    fleet = await world.boot()
    await world.step(fleet, times=2)
    assert world.host.running == {}
    assert fleet.replicas() == []


@pytest.mark.parametrize(
    "problem", [CapacityError("full"), LaunchError("missing"), OSError("broken"), None]
)
async def test_a_replica_that_is_restarted_while_it_starts_comes_up_in_the_end(world, problem):
    fleet = await world.boot()
    operation = await fleet.create(CreateRequest("big"))
    going, go_on = asyncio.Event(), asyncio.Event()
    launch = world.launcher.launch

    async def slow(spec, replica_id):
        going.set()
        await go_on.wait()
        world.launcher.script = [problem] if problem else []
        return await launch(spec, replica_id)

    world.launcher.launch = slow
    async with asyncio.TaskGroup() as tasks:
        await fleet._reconciler.step(tasks)
        await going.wait()
        await fleet.restart(operation.replica_id)
        go_on.set()
    world.launcher.launch = launch
    assert fleet.replica(operation.replica_id).state is S.DRAINING
    await world.step(fleet, seconds=5, times=6)
    assert fleet.replica(operation.replica_id).state is S.READY
    assert len(world.host.running) == 1


async def test_a_replica_whose_launcher_is_gone_from_this_gateway_is_lost_not_forgotten(world):
    fleet = await world.boot()
    operation = await fleet.create(CreateRequest("big", launcher="process"))
    await world.step(fleet, times=2)
    record = fleet.replica(operation.replica_id)
    fleet._launching._launchers.pop("process")
    await world.step(fleet)
    assert fleet.replica(record.id).state is S.READY
    await fleet.delete(record.id)
    await world.step(fleet, seconds=2, times=3)
    assert fleet.replica(record.id).state is S.LOST
    assert fleet.replica(record.id).reason == "there is no launcher 'process' to stop it"


async def test_a_planner_that_breaks_fails_that_replica_only(world):
    fleet = await world.boot()
    await fleet.scale("big", 2)
    plan = fleet._planning._planner

    async def broken_once(*_):
        fleet._planning._planner = plan
        raise OSError(5, "broken")

    fleet._planning._planner = broken_once
    await world.step(fleet, times=3)
    assert [r.state for r in fleet.replicas()] == [S.FAILED, S.READY]
    assert fleet.replicas()[0].reason == "its plan broke: OSError(5, 'broken')"


async def test_closing_ends_what_is_left_of_failed_ones_too(world, caplog):
    fleet = await world.boot()
    operation = await fleet.create(CreateRequest("big"))
    await world.step(fleet, times=2)
    world.host.stubborn.add(operation.replica_id)
    world.host.kill(operation.replica_id, Exit(1, "exited", "code 1"))
    fleet._registry.move(operation.replica_id, S.BACKOFF, "died")
    await fleet.close(stop_replicas=True)
    assert f"{operation.replica_id} does not end" in caplog.text


async def test_one_restarted_while_its_remains_resist_is_lost(world):
    fleet = await world.boot()
    operation = await fleet.create(CreateRequest("big"))
    await world.step(fleet, times=2)
    world.host.stubborn.add(operation.replica_id)
    world.host.kill(operation.replica_id, Exit(1, "exited", "code 1"))
    async with asyncio.TaskGroup() as tasks:
        await fleet._reconciler.step(tasks)
        await fleet.restart(operation.replica_id)
    assert fleet.replica(operation.replica_id).state is S.LOST


async def test_a_model_that_wants_more_than_the_board_holds_waits_and_says_so(world, caplog):
    fleet = await world.boot()
    held = [replace(fleet_record(n), column=n) for n in range(world.board.columns)]
    fleet._registry.load(held)
    await fleet.scale("big", 1)
    fleet._reconciler._count()
    assert "big wants one more replica: no more replicas: all 1024 columns" in caplog.text


def fleet_record(number):
    spec = replace(SPEC, launcher="static", model="other")
    return ReplicaRecord(ReplicaId(f"r{number}"), spec, Desired.RUN, S.READY, 1.0)
