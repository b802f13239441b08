import asyncio
from dataclasses import replace

import pytest

from backends.replica import ReplicaState as S
from gateway.core.outlier import Cause, Outlier
from gateway.core.silence import Waits
from gateway.core.snapshot import FleetSnapshot
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.fleet.second_opinions import Opinion
from gateway.fleet.settings import HangRules
from tests.fakes.fleet_world import MODELS, up
from tests.unit.fleet.test_prober import until

pytestmark = pytest.mark.anyio

HANG = HangRules(silent_s=10, generate_s=20, restart_trials=2)
DEAD = ProbeResult(ProbeOutcome.NO_GENERATION, "no answer within 20 s")
GONE = ProbeResult(ProbeOutcome.REFUSED, "no connection")
LATE = ProbeResult(ProbeOutcome.TIMEOUT, "/health: no answer within 5 s")


def models(hang):
    return tuple(replace(model, hang=hang) for model in MODELS)


@pytest.fixture
def world(make_world):
    return make_world(*models(HANG))


async def waiting(world, for_s=10.0):
    """A fleet whose replica has kept a request waiting for so long."""
    fleet = await world.boot()
    record = await up(world, fleet)
    world.row.add(record.column, 3)
    world.row.note(record.column, Waits(world.at - for_s), 0.0)
    return fleet, record


async def look(fleet):
    """Look once, and wait for all opinions that are asked for."""
    async with asyncio.TaskGroup() as tasks:
        fleet._watching.opinions.look(tasks)


async def test_one_that_is_silent_and_does_not_generate_is_ejected(world):
    fleet, record = await waiting(world)
    world.probe.works_at[record.url] = DEAD
    await look(fleet)
    assert world.probe.asked_to_work == [(record.url, "org/big", 20, False)]
    now = fleet.replica(record.id)
    assert (now.state, now.ejected_for) == (S.EJECTED, "hung")
    assert now.reason == (
        "nothing came for 10 s of the 3 requests it has, nor does it generate when asked to:"
        " no answer within 20 s"
    )
    assert world.ejected == [(record.id, Cause.HUNG)]
    assert world.doubted == [(record.id, Cause.HUNG, Opinion.FAILS)]
    assert fleet.snapshot(FleetSnapshot(0)).models["big"].ejected[0].id == record.id


async def test_without_the_watchdog_it_is_not_even_asked(make_world):
    world = make_world(*models(replace(HANG, silent_s=None)))
    fleet, record = await waiting(world, for_s=10_000)
    world.probe.works_at[record.url] = DEAD
    await look(fleet)
    assert world.probe.asked_to_work == []
    assert fleet.replica(record.id).state is S.READY


async def test_one_that_was_not_silent_for_long_is_not_asked(world):
    fleet, record = await waiting(world, for_s=9.9)
    await look(fleet)
    world.row.note(record.column, Waits(world.at - 99), world.at - 9)
    await look(fleet)
    world.row.note(record.column, None, world.at - 99)
    await look(fleet)
    assert world.probe.asked_to_work == []


async def test_one_that_generates_is_only_busy_and_asked_again_after_as_long(world):
    fleet, record = await waiting(world)
    await look(fleet)
    assert fleet.replica(record.id).state is S.READY
    assert world.doubted == [(record.id, Cause.HUNG, Opinion.WORKS)]
    world.at += 9.9
    await look(fleet)
    assert len(world.probe.asked_to_work) == 1
    world.at += 0.1
    world.probe.works_at[record.url] = DEAD
    await look(fleet)
    assert fleet.replica(record.id).state is S.EJECTED


async def test_where_answers_come_whole_it_may_take_as_long_as_they_may(world):
    """They may fill all its places, and then it gets its turn no earlier than one ends."""
    fleet, record = await waiting(world)
    world.row.note(record.column, Waits(world.at - 10, whole=True), 0.0)
    await look(fleet)
    assert world.probe.asked_to_work[-1][2] == 290
    world.at += 10
    world.row.note(record.column, Waits(world.at - 20, whole=True, begun=True), 0.0)
    await look(fleet)
    assert world.probe.asked_to_work[-1][2] == 20


async def test_one_of_which_something_comes_meanwhile_is_busy_however_late_it_answers(
    make_world, monkeypatch
):
    monkeypatch.setattr("gateway.fleet.second_opinions.LOOK_S", 0.01)
    world = make_world(*models(HANG))
    fleet, record = await waiting(world)
    asked, cut = asyncio.Event(), asyncio.Event()

    async def never():
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            raise

    world.probe.works_at[record.url] = never
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look(fleet))
        await asked.wait()
        world.row.note(record.column, Waits(world.at - 10), world.at)
    assert cut.is_set(), "it is not left to generate for nobody"
    assert fleet.replica(record.id).state is S.READY
    assert world.doubted == [(record.id, Cause.HUNG, Opinion.FLOWS)]


async def test_something_that_came_in_the_last_moment_counts_too(world):
    fleet, record = await waiting(world)

    async def late():
        world.row.note(record.column, Waits(world.at - 10), world.at)
        return DEAD

    world.probe.works_at[record.url] = late
    await look(fleet)
    assert world.doubted == [(record.id, Cause.HUNG, Opinion.FLOWS)]


async def test_one_that_cannot_be_reached_is_left_to_its_ordinary_probes(world):
    fleet, record = await waiting(world)
    world.probe.works_at[record.url] = GONE
    probed_soon = fleet._prober._suspected[record.id] = asyncio.Event()
    await look(fleet)
    assert fleet.replica(record.id).state is S.READY
    assert world.doubted == [(record.id, Cause.HUNG, Opinion.UNREACHABLE)]
    assert probed_soon.is_set()


async def test_one_that_was_started_again_meanwhile_is_another(world):
    fleet, record = await waiting(world)

    async def restarted():
        fleet._registry.update(record.id, handle={"pid": 999})
        return DEAD

    world.probe.works_at[record.url] = restarted
    await look(fleet)
    assert fleet.replica(record.id).state is S.READY
    assert world.doubted == []

    async def forgotten():
        fleet._registry.drop(record.id)
        return DEAD

    world.probe.works_at[record.url] = forgotten
    await look(fleet)
    assert world.doubted == []


async def test_each_is_asked_once_at_a_time(world):
    fleet, record = await waiting(world)
    hangs = asyncio.Event()

    async def slow():
        await hangs.wait()
        return DEAD

    world.probe.works_at[record.url] = slow
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            fleet._watching.opinions.look(tasks)
            await asyncio.sleep(0)
        hangs.set()
    assert len(world.probe.asked_to_work) == 1
    assert fleet.replica(record.id).state is S.EJECTED


async def test_one_that_is_ejected_already_is_left_alone(world):
    fleet, record = await waiting(world)
    fleet.eject(Outlier(record.id, 0, Cause.CONSECUTIVE, "3 failures in a row"))
    await look(fleet)
    assert world.probe.asked_to_work == []


async def test_it_looks_by_itself(make_world, monkeypatch):
    monkeypatch.setattr("gateway.fleet.second_opinions.LOOK_S", 0.01)
    world = make_world(*models(HANG))
    fleet, record = await waiting(world)
    world.probe.works_at[record.url] = DEAD
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await until(lambda: world.ejected)
        running.cancel()
    assert world.ejected == [(record.id, Cause.HUNG)]


# One that refuses more than its siblings.


async def refusing(world, answer=None):
    """A fleet whose replica is said to refuse too much."""
    fleet = await world.boot()
    record = await up(world, fleet)
    if answer is not None:
        world.probe.works_at[record.url] = answer
    return fleet, record, Outlier(record.id, 0, Cause.REFUSED, "20 of its last 20 answers")


async def test_one_that_refuses_a_request_known_to_be_good_is_ejected(world):
    refuses = ProbeResult(ProbeOutcome.NO_GENERATION, "status 400: wrong")
    fleet, record, outlier = await refusing(world, refuses)
    fleet.eject(outlier)
    assert fleet.replica(record.id).state is S.READY, "not before it was asked"
    await look(fleet)
    assert world.probe.asked_to_work == [(record.url, "org/big", 20, True)]
    assert fleet.replica(record.id).state is S.EJECTED
    assert fleet.replica(record.id).reason == (
        "20 of its last 20 answers, nor does it generate when asked to: status 400: wrong"
    )
    assert world.ejected == [(record.id, Cause.REFUSED)]


async def test_a_client_whose_bad_requests_all_went_to_one_replica_ejects_nobody(world):
    fleet, record, outlier = await refusing(world)
    fleet.eject(outlier)
    await look(fleet)
    assert fleet.replica(record.id).state is S.READY
    assert world.doubted == [(record.id, Cause.REFUSED, Opinion.WORKS)]
    assert world.ejected == []


async def test_what_is_said_of_a_time_before_it_was_taken_back_is_no_reason_to_ask(world):
    fleet, _record, outlier = await refusing(world, DEAD)
    fleet.eject(replace(outlier, ejections=7))
    fleet.eject(replace(outlier, replica="nobody"))
    await look(fleet)
    assert world.probe.asked_to_work == []


async def test_a_suspicion_is_looked_into_at_once(make_world, monkeypatch):
    monkeypatch.setattr("gateway.fleet.second_opinions.LOOK_S", 3600.0)
    world = make_world(*models(HANG))
    fleet, _record, outlier = await refusing(world, DEAD)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await until(lambda: fleet._prober._suspected)
        fleet.eject(outlier)
        await until(lambda: world.ejected)
        running.cancel()


async def test_its_trial_is_as_thorough(world):
    fleet, record, outlier = await refusing(world, DEAD)
    fleet.eject(outlier)
    await look(fleet)
    world.at += 6
    await fleet._prober.probe_once(fleet.replica(record.id))
    assert fleet.replica(record.id).state is S.EJECTED, "one good completion is not enough"
    assert world.observed[-1] == (record.id, ProbeOutcome.NO_GENERATION)
    world.at += 11
    del world.probe.works_at[record.url]
    await fleet._prober.probe_once(fleet.replica(record.id))
    assert fleet.replica(record.id).state is S.READY
