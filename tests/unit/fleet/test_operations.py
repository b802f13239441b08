import asyncio
from dataclasses import replace

import pytest

from backends.replica import ReplicaState as S
from gateway.fleet.errors import (
    UnknownOperation,
)
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.state.store import KEPT_OPERATIONS, OperationState
from tests.fakes.fleet_world import ONE, status, up

pytestmark = pytest.mark.anyio


async def test_a_follower_sees_every_step_and_a_late_one_the_same(world):
    fleet = await world.boot()
    operation = await fleet.create(ONE)
    seen = []

    async def follow():
        async for step in fleet.follow(operation.id):
            seen.append(step.step)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await asyncio.sleep(0)
        await world.step(fleet, seconds=1, times=3)
    assert seen[0] == "pending: asked for"
    assert seen[-1] == "ready"
    assert [s.split(":")[0] for s in seen] == ["pending", "starting", "loading", "ready"]
    assert [s.step async for s in fleet.follow(operation.id)] == seen
    with pytest.raises(UnknownOperation, match="nothing"):
        fleet.follow("nothing")
    with pytest.raises(UnknownOperation):
        fleet.operation("nothing")


async def test_loading_shows_how_far_it_is_once_a_load_was_seen(world):
    fleet = await world.boot()
    await up(world, fleet)  # 0 s of loading are no measure
    first = fleet.replicas()[0]
    history = tuple(
        replace(entry, at=entry.at + (100 if entry.state is S.READY else 0))
        for entry in first.history
    )
    fleet._registry.update(first.id)
    fleet._registry._records[first.id] = replace(first, history=history)
    world.probe.answers = {
        f"http://127.0.0.1:{20000 + n}": ProbeResult(ProbeOutcome.REFUSED, "no connection")
        for n in (2, 3)
    }
    operation = await fleet.create(ONE)
    await world.step(fleet)
    await world.step(fleet, seconds=50)
    halfway = fleet.operation(operation.id)
    assert halfway.step == "loading: it loads, its port does not answer yet"
    assert (halfway.progress, halfway.eta_s) == (0.65, 50.0)


async def test_operations_that_can_no_longer_succeed_say_so(world):
    fleet = await world.boot()
    creation = await fleet.create(ONE)
    await fleet.delete(creation.replica_id)
    await world.step(fleet, seconds=1, times=3)
    assert fleet.operation(creation.id).error == "the replica is not wanted any more"
    record = await up(world, fleet)
    world.row.add(record.column, 1)
    drain = await fleet.drain(record.id, 100)
    await world.step(fleet, seconds=1)
    assert fleet.operation(drain.id).eta_s == 99.0
    await fleet.restart(record.id)
    await world.step(fleet, seconds=1)
    assert fleet.operation(drain.id).error == "the replica is wanted again"


async def test_a_scale_fails_when_all_that_is_left_has_failed(world):
    fleet = await world.boot()
    world.planner.refusal = "no GPU"
    operation = await fleet.scale("big", 1)
    await world.step(fleet, times=2)
    ended = fleet.operation(operation.id)
    assert ended.state is OperationState.FAILED
    assert ended.error.endswith("failed: no GPU")


async def test_only_the_newest_operations_are_remembered(world):
    fleet = await world.boot()
    first = await fleet.scale("big", 0)
    for number in range(KEPT_OPERATIONS):
        fleet._state.operations.begin(f"o{number}", "scale", model="big")
    assert len(fleet.operations()) == KEPT_OPERATIONS
    with pytest.raises(UnknownOperation, match="the last 1,000 are kept"):
        fleet.operation(first.id)


async def test_an_operation_that_is_forgotten_is_told_anew_of_the_same_replica(world):
    fleet = await world.boot()
    first = await fleet.create(ONE, "key")
    fleet._state.operations._trails.clear()
    again = await fleet.create(ONE, "key")
    assert (again.id, again.replica_id) == (first.id, first.replica_id)
    assert len(fleet.replicas()) == status(fleet).desired == 1


async def test_a_creation_whose_replica_is_forgotten_has_failed(world):
    fleet = await world.boot()
    creation = await fleet.create(ONE)
    fleet._registry.drop(creation.replica_id)
    assert fleet.operation(creation.id).error == "the replica was deleted before it was ready"


async def test_a_scale_down_never_shows_more_than_all_of_it_done(world):
    fleet = await world.boot()
    await fleet.scale("big", 3)
    await world.step(fleet, times=4)
    operation = await fleet.scale("big", 1)
    seen = []
    for _ in range(8):
        await world.step(fleet, seconds=1)
        seen.append(fleet.operation(operation.id).progress)
    assert all(0 <= progress <= 1 for progress in seen if progress is not None)
    assert fleet.operation(operation.id).state is OperationState.DONE
