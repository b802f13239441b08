import asyncio

import pytest

from backends.launcher import CapacityError, Exit, LaunchError, Remedy
from backends.replica import ReplicaState as S
from gateway.fleet.planning import CreateRequest

pytestmark = pytest.mark.anyio

DIED = Exit(1, "exited", "it ended with code 1")
HOPELESS = Exit(1, "gpu_oom", "too big", Remedy.PERMANENT)
ONE = CreateRequest("big")


def states(fleet):
    return [record.state for record in fleet.replicas()]


async def started(world):
    fleet = await world.boot()
    await fleet.create(ONE)
    await world.step(fleet, seconds=1, times=2)
    (record,) = fleet.replicas()
    assert record.state is S.READY
    return fleet, record


async def test_a_wanted_replica_is_launched_probed_and_served(world):
    _, record = await started(world)
    assert [e.state for e in record.history] == [S.PENDING, S.STARTING, S.LOADING, S.READY]
    assert record.url == world.host.running[record.id].url
    assert record.dialect == "1.2"
    assert await world.store.replicas() == [record]


async def test_the_count_of_a_model_is_kept(world):
    fleet = await world.boot()
    await fleet.scale("big", 3)
    await world.step(fleet, seconds=1, times=3)
    assert states(fleet) == [S.READY] * 3
    await fleet.scale("big", 1)
    await world.step(fleet, seconds=2, times=4)
    assert states(fleet) == [S.READY]
    assert len(world.host.running) == 1


async def test_one_that_dies_leaves_the_snapshot_and_comes_back_after_a_pause(world):
    fleet, record = await started(world)
    world.host.kill(record.id, DIED)
    await world.step(fleet)
    assert states(fleet) == [S.BACKOFF]
    assert fleet.replica(record.id).reason.startswith("exited: it ended with code 1; next")
    await world.step(fleet, seconds=5)
    assert states(fleet) == [S.BACKOFF]
    await world.step(fleet, seconds=8, times=3)
    assert states(fleet) == [S.READY]
    assert world.host.starts == [record.id] * 2
    assert world.host.doubled == []


async def test_five_failed_starts_in_a_row_are_the_end_and_a_restart_begins_anew(world):
    fleet, record = await started(world)
    for _ in range(5):
        world.host.kill(record.id, DIED)
        await world.step(fleet)
        await world.step(fleet, seconds=400, times=3)
    failed = fleet.replica(record.id)
    assert (failed.state, failed.attempt) == (S.FAILED, 5)
    await world.step(fleet, seconds=10_000, times=3)
    assert states(fleet) == [S.FAILED]
    await fleet.restart(record.id)
    await world.step(fleet, times=3)
    assert fleet.replica(record.id).state is S.READY
    assert fleet.replica(record.id).attempt == 0


async def test_a_start_that_cannot_work_is_not_tried_again(world):
    fleet = await world.boot()
    world.launcher.script = [LaunchError("trtllm-serve is not on PATH; would have run: ...")]
    await fleet.create(ONE)
    await world.step(fleet, seconds=1000, times=4)
    (record,) = fleet.replicas()
    assert (record.state, world.host.starts) == (S.FAILED, [])
    assert record.reason.startswith("trtllm-serve is not on PATH")


async def test_a_full_host_is_waited_for_without_counting_failures(world):
    fleet = await world.boot()
    world.launcher.script = [CapacityError("all ports are taken")] * 7
    await fleet.create(ONE)
    await world.step(fleet)
    (record,) = fleet.replicas()
    assert (record.state, record.attempt) == (S.BACKOFF, 0)
    assert record.reason.startswith("no room: all ports are taken; next try in")
    await world.step(fleet, seconds=15, times=20)
    assert states(fleet) == [S.READY]


async def test_a_launcher_that_breaks_costs_a_failure_of_that_replica_only(world):
    fleet = await world.boot()
    world.launcher.script = [RuntimeError("bug")]
    await fleet.scale("big", 2)
    await world.step(fleet, seconds=1, times=2)
    assert sorted(states(fleet)) == [S.BACKOFF, S.READY]
    world.launcher.ended_error = OSError("the daemon is away")
    await world.step(fleet, seconds=30, times=3)
    assert states(fleet) == [S.READY] * 2


async def test_one_whose_end_is_not_proven_is_lost_and_tried_again(world):
    fleet, record = await started(world)
    world.host.stubborn.add(record.id)
    await fleet.delete(record.id, 0)
    await world.step(fleet, seconds=2, times=3)
    assert states(fleet) == [S.LOST]
    assert fleet.replica(record.id).reason == f"{record.id} does not end"
    world.host.stubborn.clear()
    await world.step(fleet, seconds=61, times=3)
    assert fleet.replicas() == []
    assert world.host.running == {}


async def test_remains_of_a_dead_replica_that_do_not_end_keep_it_from_starting(world):
    fleet, record = await started(world)
    world.host.stubborn.add(record.id)
    world.host.kill(record.id, DIED)
    await world.step(fleet, seconds=1, times=3)
    assert states(fleet) == [S.LOST]
    world.host.stubborn.clear()
    await world.step(fleet, seconds=61, times=6)
    assert states(fleet) == [S.READY]
    assert world.host.doubled == []


async def test_a_stop_that_breaks_the_launcher_leaves_the_replica_lost(world):
    fleet, record = await started(world)
    world.launcher.stop_error = RuntimeError("bug")
    await fleet.delete(record.id)
    await world.step(fleet, seconds=2, times=3)
    assert states(fleet) == [S.LOST]
    assert "its launcher broke" in fleet.replica(record.id).reason


async def test_a_drain_waits_for_requests_and_is_out_of_the_snapshot_at_once(world):
    fleet, record = await started(world)
    world.row.add(record.column, 2)
    await fleet.drain(record.id, 100)
    await world.step(fleet)
    assert states(fleet) == [S.DRAINING]
    assert fleet.in_flight(record.id) == 2
    await world.step(fleet, seconds=20)
    assert states(fleet) == [S.DRAINING]
    world.row.add(record.column, -2)
    await world.step(fleet, seconds=1, times=3)
    assert states(fleet) == [S.STOPPED]
    assert world.host.running == {}


async def test_a_drain_ends_with_its_grace_though_requests_run(world):
    fleet, record = await started(world)
    world.row.add(record.column, 1)
    await fleet.drain(record.id, 100)
    await world.step(fleet)
    await world.step(fleet, seconds=101, times=3)
    assert states(fleet) == [S.STOPPED]


async def test_no_column_is_given_to_two_replicas(world):
    fleet = await world.boot()
    await fleet.scale("big", 4)
    await world.step(fleet)
    columns = [r.column for r in fleet.replicas()]
    assert len(set(columns)) == 4


async def test_a_model_that_cannot_be_planned_shows_why_and_is_planned_again_after_a_restart(
    make_world,
):
    world = make_world()
    fleet = await world.boot()
    world.planner.refusal = "no GPU on this host"
    await fleet.scale("big", 1)
    await world.step(fleet, times=3)
    (record,) = fleet.replicas()
    assert (record.state, record.reason) == (S.FAILED, "no GPU on this host")
    world.planner.refusal = None
    await world.step(fleet, seconds=1000)
    assert states(fleet) == [S.FAILED]
    fleet = await world.boot()
    await world.step(fleet, times=3)
    assert states(fleet) == [S.READY]


async def test_nothing_is_started_while_the_store_cannot_be_written(world):
    fleet = await world.boot()
    await fleet.scale("big", 1)
    world.store.full = True
    with pytest.raises(ExceptionGroup):
        await world.step(fleet)
    assert world.host.starts == []
    world.store.full = False
    await world.step(fleet, times=3)
    assert states(fleet) == [S.READY]


async def test_the_loop_survives_a_full_disk_and_goes_on(make_world):
    world = make_world(reconcile={"interval_s": 0.01})
    fleet = await world.boot()
    await fleet.scale("big", 1)
    world.store.full = True
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await asyncio.sleep(0.1)
        assert world.host.starts == []
        world.store.full = False
        while states(fleet) != [S.READY]:  # noqa: ASYNC110 - nothing tells of the whole state
            await asyncio.sleep(0.01)
        running.cancel()
    assert len(world.host.starts) == 1
