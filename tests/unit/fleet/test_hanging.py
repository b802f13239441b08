"""What becomes of a replica that was ejected because it hangs, and goes on hanging."""

import asyncio
from dataclasses import replace

import pytest

from backends.replica import ReplicaState as S
from gateway.core.outlier import Cause, Outlier
from gateway.core.silence import Waits
from gateway.fleet.planning import CreateRequest
from tests.unit.fleet.test_second_opinions import DEAD, HANG, LATE, look, models, waiting

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(make_world):
    return make_world(*models(HANG))


async def hung(world):
    """A fleet whose replica was just ejected because it hangs."""
    fleet, record = await waiting(world)
    world.probe.works_at[record.url] = DEAD
    await look(fleet)
    world.row.add(record.column, -3)
    world.row.note(record.column, None, 0.0)
    return fleet, record


async def trial(world, fleet, record, answer, *, after_s=300):
    """Let its pause pass, one probe come and the reconciler look; return its state then."""
    world.at += after_s
    world.probe.answers[record.url] = answer
    await fleet._prober.probe_once(fleet.replica(record.id))
    async with asyncio.TaskGroup() as tasks:
        await fleet._reconciler.step(tasks)
    return fleet.replica(record.id).state


async def test_one_of_our_own_is_started_again_after_two_failed_trials(world):
    fleet, record = await hung(world)
    assert await trial(world, fleet, record, DEAD) is S.EJECTED
    assert world.probe.patience_s[-1] == 20
    assert await trial(world, fleet, record, DEAD) is S.BACKOFF
    now = fleet.replica(record.id)
    assert now.attempt == 1, "it counts as a crash does"
    assert now.reason.startswith("hung: it hangs: failed its trial: no answer within 20 s")
    assert record.id not in world.host.running
    world.probe.answers.clear()
    await world.step(fleet, seconds=20, times=4)
    again = fleet.replica(record.id)
    assert (again.state, again.ejected_for, again.failed_trials) == (S.READY, "", 0)


async def test_unless_it_is_not_to_be(make_world):
    world = make_world(*models(replace(HANG, restart_trials=0)))
    fleet, record = await hung(world)
    for _ in range(2):
        assert await trial(world, fleet, record, DEAD) is S.EJECTED
    assert await trial(world, fleet, record, DEAD) is S.UNHEALTHY
    assert await trial(world, fleet, record, DEAD, after_s=1) is S.UNHEALTHY


async def test_one_whose_health_goes_too_is_started_again_as_soon(world):
    fleet, record = await hung(world)
    for _ in range(3):
        await trial(world, fleet, record, LATE, after_s=1)
    assert fleet.replica(record.id).state is S.UNHEALTHY
    assert await trial(world, fleet, record, LATE, after_s=1) is S.UNHEALTHY
    assert await trial(world, fleet, record, LATE, after_s=1) is S.BACKOFF


async def test_one_that_fails_requests_but_does_not_hang_is_not_started_again(world):
    fleet, record = await waiting(world, for_s=1)
    fleet.eject(Outlier(record.id, 0, Cause.CONSECUTIVE, "3 failures in a row"))
    for _ in range(2):
        assert await trial(world, fleet, record, DEAD) is S.EJECTED
    assert world.probe.patience_s[-1] is None
    assert await trial(world, fleet, record, DEAD) is S.UNHEALTHY
    assert await trial(world, fleet, record, DEAD, after_s=1) is S.UNHEALTHY


async def test_one_that_passes_a_trial_begins_anew(world):
    fleet, record = await hung(world)
    assert await trial(world, fleet, record, DEAD) is S.EJECTED
    assert await trial(world, fleet, record, None) is S.READY
    now = fleet.replica(record.id)
    assert (now.ejected_for, now.failed_trials) == ("", 0)


async def test_one_that_somebody_else_runs_is_never_started_again(world):
    fleet = await world.boot()
    operation = await fleet.register("http://10.0.0.1:8000", "big")
    await world.step(fleet, seconds=1, times=3)
    record = fleet.replica(operation.replica_id)
    world.row.note(record.column, Waits(world.at - 10), 0.0)
    world.probe.works_at[record.url] = DEAD
    await look(fleet)
    assert fleet.replica(record.id).ejected_for == "hung"
    for _ in range(2):
        assert await trial(world, fleet, record, DEAD) is S.EJECTED
    for _ in range(3):
        assert await trial(world, fleet, record, DEAD) is S.UNHEALTHY


async def test_a_restart_of_the_gateway_forgets_no_failed_trial(world):
    fleet, record = await hung(world)
    assert await trial(world, fleet, record, DEAD) is S.EJECTED
    fleet = await world.boot()
    assert await trial(world, fleet, record, DEAD) is S.BACKOFF


async def test_restarts_of_a_replica_that_always_hangs_come_to_an_end(make_world):
    world = make_world(
        *models(replace(HANG, restart_trials=1)), reconcile={"attempts": 3, "stable_s": 1e9}
    )
    fleet = await world.boot()
    operation = await fleet.create(CreateRequest("big"))
    for starts in (1, 2, 3):
        world.probe.answers.clear()
        await world.step(fleet, seconds=400, times=4)
        record = fleet.replica(operation.replica_id)
        assert (record.state, record.attempt) == (S.READY, starts - 1)
        world.row.note(record.column, Waits(world.at - 10), 0.0)
        world.probe.works_at[record.url] = DEAD
        await look(fleet)
        world.row.note(record.column, None, 0.0)
        after = await trial(world, fleet, record, DEAD)
        assert after is (S.FAILED if starts == 3 else S.BACKOFF)
