import asyncio
from dataclasses import replace

import pytest

from backends.replica import ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.core.snapshot import FleetSnapshot
from gateway.fleet.errors import (
    IdempotencyConflict,
    PlanRefused,
    ReplicaLimit,
    UnknownLauncher,
    UnknownModel,
    UnknownReplica,
)
from gateway.fleet.planning import CreateRequest
from gateway.state.store import Desired, OperationState
from tests.fakes.fleet_world import MODELS, ONE, status, up
from tests.fakes.launcher import Crash

pytestmark = pytest.mark.anyio

TEMPLATE = FleetSnapshot(version=0, key_pepper=b"salt")


async def test_a_created_replica_raises_the_count_and_its_operation_ends_when_it_is_ready(
    world,
):
    fleet = await world.boot()
    operation = await fleet.create(ONE)
    assert (operation.kind, operation.state) == ("create", OperationState.RUNNING)
    assert operation.step == "pending: asked for"
    assert status(fleet).desired == 1
    await world.step(fleet, seconds=1, times=2)
    ended = fleet.operation(operation.id)
    assert (ended.state, ended.progress, ended.step) == (OperationState.DONE, 1.0, "ready")
    assert fleet.operations() == [ended]
    assert fleet.replica(operation.replica_id).state is S.READY


async def test_the_same_key_gives_the_same_operation_and_another_request_a_conflict(world):
    fleet = await world.boot()
    first = await fleet.create(ONE, "key")
    again, together = await asyncio.gather(fleet.create(ONE, "key"), fleet.create(ONE, "key"))
    assert first.id == again.id == together.id
    assert len(fleet.replicas()) == 1
    with pytest.raises(IdempotencyConflict, match="'key' was used for another request"):
        await fleet.create(CreateRequest("big", gpus=2), "key")
    with pytest.raises(IdempotencyConflict):
        await fleet.create(CreateRequest("small"), "key")


async def test_a_retry_is_not_refused_because_its_own_replica_took_the_last_gpu(world):
    world.planner.gpus = ("GPU-1",)
    fleet = await world.boot()
    first, second = await asyncio.gather(fleet.create(ONE, "key"), fleet.create(ONE, "key"))
    assert first.id == second.id
    assert len(fleet.replicas()) == 1


async def test_a_retry_after_a_crash_between_claim_and_creation_meets_the_same_replica(world):
    fleet = await world.boot()
    world.planner.refusal = "not now"
    with pytest.raises(PlanRefused, match="not now"):
        await fleet.create(ONE, "key")
    world.planner.refusal = None
    fleet = await world.boot()
    first = await fleet.create(ONE, "key")
    fleet = await world.boot()
    again = await fleet.create(ONE, "key")
    assert (first.id, first.replica_id) == (again.id, again.replica_id)
    assert status(fleet).desired == 1


async def test_what_cannot_be_created_says_why_and_changes_nothing(world):
    fleet = await world.boot()
    with pytest.raises(UnknownModel, match="no model 'huge'; configured are: big, small"):
        await fleet.create(CreateRequest("huge"))
    with pytest.raises(UnknownLauncher, match="no launcher 'cloud'; this gateway has: sim"):
        await fleet.create(CreateRequest("big", launcher="cloud"))
    world.planner.refusal = "too big"
    with pytest.raises(PlanRefused, match="too big"):
        await fleet.create(ONE)
    world.planner.refusal = None
    for _ in range(5):
        await fleet.create(CreateRequest("large"))  # an alias will do
    with pytest.raises(ReplicaLimit, match="big may have 5 replicas and has them"):
        await fleet.create(ONE)
    assert status(fleet).desired == 5


async def test_a_dry_run_starts_nothing(world):
    fleet = await world.boot()
    spec = await fleet.plan(ONE)
    assert isinstance(spec, ReplicaSpec)
    await world.step(fleet)
    assert fleet.replicas() == []


async def test_plans_made_together_never_share_a_gpu(world):
    world.planner.gpus = ("GPU-1", "GPU-2")
    fleet = await world.boot()
    await asyncio.gather(fleet.create(ONE), fleet.create(CreateRequest("small")))
    assert {r.spec.gpus for r in fleet.replicas()} == {("GPU-1",), ("GPU-2",)}
    with pytest.raises(PlanRefused, match="no GPU is free"):
        await fleet.create(ONE)


async def test_gpus_of_a_stopped_replica_are_free_and_a_restart_plans_anew(world):
    world.planner.gpus = ("GPU-1",)
    fleet = await world.boot()
    first = await up(world, fleet)
    await fleet.drain(first.id)
    await world.step(fleet, seconds=2, times=4)
    second = await up(world, fleet, CreateRequest("small"))
    assert second.spec.gpus == ("GPU-1",)
    refused = await fleet.restart(first.id)
    await world.step(fleet, seconds=2, times=2)
    assert fleet.operation(refused.id).error == "no GPU is free"
    world.planner.gpus = ("GPU-1", "GPU-2")
    operation = await fleet.restart(first.id)
    await world.step(fleet, seconds=2, times=4)
    assert fleet.operation(operation.id).state is OperationState.DONE
    assert fleet.replica(first.id).spec.gpus == ("GPU-2",)
    assert status(fleet).desired == 1


async def test_what_is_started_again_is_planned_from_what_was_asked_and_the_present_settings(
    world,
):
    fleet = await world.boot()
    asked = CreateRequest("large", "process", "fp8", ("GPU-9",), {"max_batch_size": 4})
    record = await up(world, fleet, asked)
    await fleet.close(stop_replicas=True)
    world.settings = replace(
        world.settings, models=(replace(MODELS[0], source="org/newer", initial=1), MODELS[1])
    )
    fleet = await world.boot()
    await world.step(fleet, seconds=1, times=3)
    after = fleet.replica(record.id)
    assert (after.state, after.spec.source) == (S.READY, "org/newer")
    assert world.planner.asked[-1][0] == replace(asked, model="big")


async def test_a_drain_keeps_the_record_and_a_delete_does_not(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    drained = await fleet.drain(record.id, 5)
    assert (drained.kind, drained.state) == ("drain", OperationState.RUNNING)
    assert status(fleet).desired == 0
    await world.step(fleet, seconds=2, times=4)
    assert fleet.operation(drained.id).state is OperationState.DONE
    assert fleet.replica(record.id).state is S.STOPPED
    deleted = await fleet.delete(record.id)
    again = await fleet.drain(record.id)
    assert fleet.replica(record.id).desired is Desired.FORGET
    await world.step(fleet, times=2)
    with pytest.raises(UnknownReplica, match=record.id):
        fleet.replica(record.id)
    for operation in (deleted, again):
        assert fleet.operation(operation.id).step == "forgotten"
    assert status(fleet).desired == 0


async def test_a_restart_drains_first_and_ends_with_another_process(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    world.row.add(record.column, 1)
    operation = await fleet.restart(record.id, 60)
    await world.step(fleet, seconds=5, times=2)
    assert fleet.replica(record.id).state is S.DRAINING
    assert fleet.operation(operation.id).eta_s is None
    world.row.add(record.column, -1)
    await world.step(fleet, seconds=5, times=5)
    after = fleet.replica(record.id)
    assert (after.state, after.handle["pid"]) == (S.READY, record.handle["pid"] + 1)
    assert fleet.operation(operation.id).state is OperationState.DONE
    assert status(fleet).desired == 1


async def test_a_stopped_replica_that_is_restarted_needs_room(make_world):
    world = make_world(replace(MODELS[0], max=1))
    fleet = await world.boot()
    first = await up(world, fleet)
    await fleet.drain(first.id)
    await world.step(fleet, seconds=2, times=4)
    await up(world, fleet)
    with pytest.raises(ReplicaLimit):
        await fleet.restart(first.id)


async def test_scaling_pins_the_count_until_it_is_unpinned(make_world):
    world = make_world(replace(MODELS[0], initial=1))
    fleet = await world.boot()
    operation = await fleet.scale("large", 3)
    assert (status(fleet).desired, status(fleet).pinned) == (3, True)
    assert operation.step == "0 of 3 ready"
    await world.step(fleet, seconds=1, times=3)
    assert fleet.operation(operation.id).step == "3 ready"
    fleet = await world.boot()
    assert status(fleet).pinned
    unpinned = await fleet.unpin("big")
    assert (unpinned.desired, unpinned.pinned) == (1, False)
    down = await fleet.scale("big", 1)
    assert down.state is OperationState.RUNNING
    await world.step(fleet, seconds=2, times=5)
    assert fleet.operation(down.id).state is OperationState.DONE
    assert len(world.host.running) == 1
    with pytest.raises(ReplicaLimit, match="big may have 0 to 5 replicas, not 6"):
        await fleet.scale("big", 6)
    with pytest.raises(UnknownModel):
        await fleet.unpin("huge")
    await fleet.unpin("big")
    assert not status(await world.boot()).pinned


async def test_an_edited_block_wins_over_the_count_that_was_set(make_world):
    world = make_world()
    fleet = await world.boot()
    await fleet.scale("big", 2)
    assert status(await world.boot()).desired == 2
    edited = (replace(MODELS[0], initial=1), MODELS[1])
    world.settings = replace(world.settings, models=edited)
    assert status(await world.boot()).desired == 1
    assert status(await world.boot()).desired == 1


async def test_an_edit_is_not_lost_by_a_crash_while_it_is_taken_up(world):
    fleet = await world.boot()
    await fleet.scale("big", 2)
    edited = (replace(MODELS[0], initial=1), MODELS[1])
    world.settings = replace(world.settings, models=edited)
    world.store.crash_in = 1
    with pytest.raises(Crash):
        await world.boot()
    assert status(await world.boot()).desired == 1


async def test_replicas_of_a_model_that_is_gone_from_the_configuration_go_too(make_world):
    world = make_world()
    fleet = await world.boot()
    await up(world, fleet)
    world.settings = replace(world.settings, models=MODELS[1:])
    fleet = await world.boot()
    await world.step(fleet, seconds=2, times=5)
    assert fleet.replicas() == []
    assert world.host.running == {}
    assert [s.name for s in fleet.models()] == ["small"]


async def test_close_may_stop_what_runs_and_the_next_start_runs_it_again(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    await fleet.create(CreateRequest("small"))
    await fleet.register("http://10.0.0.1:8000", "small")
    await fleet.close(stop_replicas=True)
    assert world.host.running == {}
    assert world.probe.closed
    fleet = await world.boot()
    await world.step(fleet, seconds=1, times=3)
    assert fleet.replica(record.id).state is S.READY
    assert len(world.host.running) == 2


async def test_close_may_leave_what_runs(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    await fleet.close(stop_replicas=False)
    fleet = await world.boot()
    assert fleet.replica(record.id).state is S.READY
    assert world.host.starts == [record.id]


async def test_logs_come_from_the_launcher(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    lines = [line.line async for line in fleet.logs(record.id, tail=2, follow=False)]
    assert lines == [f"{record.id} line 0", f"{record.id} line 1"]
    with pytest.raises(UnknownReplica):
        fleet.logs("nobody", tail=1, follow=False)
