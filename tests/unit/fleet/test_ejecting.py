import asyncio
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.replica import ReplicaId
from backends.replica import ReplicaState as S
from gateway.core.outlier import Cause, Outlier
from gateway.core.snapshot import Ejection, FleetSnapshot
from gateway.fleet.ejecting import ejection, longer
from gateway.fleet.health import ProbeOutcome, ProbeResult
from gateway.fleet.settings import ProbeSettings
from gateway.state.store import Desired, HistoryEntry
from tests.fakes.fleet import replica
from tests.fakes.fleet_world import up
from tests.unit.fleet.test_prober import until

pytestmark = pytest.mark.anyio

RULES = Ejection(base_s=5, max_s=300)
DEAD = ProbeResult(ProbeOutcome.NO_GENERATION, "it answers, but does not generate")
TEMPLATE = FleetSnapshot(version=0)


def outlier(record, ejections=0):
    return Outlier(record.id, ejections, Cause.CONSECUTIVE, "3 failures in a row")


async def ejected(world):
    """A fleet with one replica that was just ejected."""
    fleet = await world.boot()
    record = await up(world, fleet)
    fleet.eject(outlier(record))
    world.probe.asked.clear()
    return fleet, record.id


async def probe(world, fleet, replica_id, *, after_s):
    """Let time pass and one probe come; return whether it was asked to generate."""
    world.at += after_s
    await fleet._prober.probe_once(fleet.replica(replica_id))
    return world.probe.asked[-1][2]


async def test_an_outlier_is_ejected_and_everybody_is_told_why(world):
    fleet, name = await ejected(world)
    record = fleet.replica(name)
    assert (record.state, record.reason) == (S.EJECTED, "3 failures in a row")
    assert world.ejected == [(name, Cause.CONSECUTIVE)]
    model = fleet.snapshot(TEMPLATE).models["big"]
    assert (model.replicas, model.away) == ((), ())
    assert [(view.id, view.ejections) for view in model.ejected] == [(name, 1)]
    assert 4.5 <= record.ejected_until - world.at <= 5


async def test_what_is_told_twice_or_too_late_ejects_once(world):
    fleet, name = await ejected(world)
    fleet.eject(outlier(fleet.replica(name)))
    assert await probe(world, fleet, name, after_s=6)
    assert fleet.replica(name).state is S.READY
    fleet.eject(outlier(fleet.replica(name)))
    fleet.eject(replace(outlier(fleet.replica(name)), replica=ReplicaId("nobody")))
    assert fleet.replica(name).state is S.READY
    assert len(world.ejected) == 1
    fleet.eject(outlier(fleet.replica(name), ejections=1))
    assert fleet.replica(name).state is S.EJECTED


@pytest.mark.parametrize("state", [S.UNHEALTHY, S.DRAINING])
async def test_a_state_that_is_proven_is_left_alone(world, state):
    fleet = await world.boot()
    record = await up(world, fleet)
    fleet._registry.move(record.id, state, "proven")
    fleet.eject(outlier(record))
    assert fleet.replica(record.id).reason == "proven"


async def test_only_a_probe_that_generates_takes_it_back_and_only_when_its_time_is_over(world):
    fleet, name = await ejected(world)
    assert not await probe(world, fleet, name, after_s=1)
    assert not await probe(world, fleet, name, after_s=3)
    assert fleet.replica(name).state is S.EJECTED
    assert fleet.replica(name).reason == "3 failures in a row"
    assert await probe(world, fleet, name, after_s=1)
    assert fleet.replica(name).state is S.READY
    (view,) = fleet.snapshot(TEMPLATE).models["big"].replicas
    assert view.ejections == 1


async def test_one_that_fails_its_trial_waits_twice_as_long_for_the_next(world):
    fleet, name = await ejected(world)
    world.probe.answers[fleet.replica(name).url] = DEAD
    assert await probe(world, fleet, name, after_s=5)
    record = fleet.replica(name)
    assert (record.state, record.ejections) == (S.EJECTED, 1)
    assert record.reason == "failed its trial: it answers, but does not generate"
    assert 9 <= record.ejected_until - world.at <= 10
    world.probe.answers.clear()
    assert not await probe(world, fleet, name, after_s=8.9)
    assert await probe(world, fleet, name, after_s=1.1)
    assert fleet.replica(name).state is S.READY


async def test_one_that_fails_three_trials_is_unhealthy_whatever_its_health_says(world):
    fleet, name = await ejected(world)
    url = fleet.replica(name).url
    for after_s in (5, 10):
        world.probe.answers[url] = DEAD
        assert await probe(world, fleet, name, after_s=after_s)
        assert fleet.replica(name).state is S.EJECTED
        world.probe.answers.clear()
        assert not await probe(world, fleet, name, after_s=1)
    world.probe.answers[url] = DEAD
    assert await probe(world, fleet, name, after_s=20)
    assert fleet.replica(name).state is S.UNHEALTHY
    world.probe.answers.clear()
    assert await probe(world, fleet, name, after_s=1)
    assert fleet.replica(name).state is S.READY


async def test_failed_trials_of_an_earlier_ejection_are_forgotten(world):
    fleet, name = await ejected(world)
    url = fleet.replica(name).url
    for ejections in (1, 2):
        world.probe.answers[url] = DEAD
        for _ in range(2):
            assert await probe(world, fleet, name, after_s=300)
        world.probe.answers.clear()
        assert await probe(world, fleet, name, after_s=300)
        assert fleet.replica(name).state is S.READY
        fleet.eject(outlier(fleet.replica(name), ejections))
        assert fleet.replica(name).state is S.EJECTED


async def test_ordinary_probes_still_find_it_unhealthy(world):
    fleet, name = await ejected(world)
    world.probe.answers[fleet.replica(name).url] = ProbeResult(ProbeOutcome.TIMEOUT, "late")
    for _ in range(3):
        assert not await probe(world, fleet, name, after_s=1)
    assert fleet.replica(name).state is S.UNHEALTHY


async def test_a_probe_that_was_under_way_before_the_ejection_is_no_trial(world):
    fleet = await world.boot()
    record = await up(world, fleet)
    answer = world.probe.answers[record.url] = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fleet._prober.probe_once(fleet.replica(record.id)))
        await asyncio.sleep(0)
        fleet.eject(outlier(record))
        world.at += 100
        answer.set()
    assert fleet.replica(record.id).state is S.EJECTED


async def test_there_is_one_trial_at_a_time_and_it_comes_by_itself(make_world):
    probes = ProbeSettings(loading_s=0.01, ready_s=0.01)
    world = make_world(probe=probes, reconcile={"interval_s": 0.01})
    fleet = await world.boot()
    record = await up(world, fleet)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await until(lambda: fleet._prober._suspected)
        fleet.eject(outlier(record))
        hangs = world.probe.answers[record.url] = asyncio.Event()
        world.probe.asked.clear()
        world.at += 6
        fleet.suspect(record.id)
        await until(lambda: any(prove for _, _, prove in world.probe.asked))
        for _ in range(20):
            fleet.suspect(record.id)
            await asyncio.sleep(0.01)
        assert sum(prove for _, _, prove in world.probe.asked) == 1
        hangs.set()
        await until(lambda: fleet.replica(record.id).state is S.READY)
        running.cancel()


async def test_the_trial_is_no_later_than_the_pause_between_probes(make_world):
    probes = ProbeSettings(loading_s=3600.0, ready_s=3600.0)
    world = make_world(probe=probes)
    fleet, name = await ejected(world)
    assert fleet._prober._pause_s(name) <= 5
    world.at += 10
    assert fleet._prober._pause_s(name) == 0


async def test_a_restart_of_the_gateway_forgets_no_ejection(world):
    fleet, name = await ejected(world)
    await fleet._state.save()
    before = fleet.replica(name)
    fleet = await world.boot()
    after = fleet.replica(name)
    assert after.state is S.EJECTED
    assert (after.ejections, after.ejected_in_row) == (1, 1)
    assert after.ejected_until == before.ejected_until
    assert await probe(world, fleet, name, after_s=6)
    assert fleet.replica(name).state is S.READY


async def test_one_whose_trial_finds_another_model_is_out_and_no_panic_brings_it_back(world):
    fleet, name = await ejected(world)
    other = ProbeResult(ProbeOutcome.WRONG_MODEL, "it serves b, not a", model="b")
    world.probe.answers[fleet.replica(name).url] = other
    assert await probe(world, fleet, name, after_s=6)
    assert fleet.replica(name).state is S.UNHEALTHY
    model = fleet.snapshot(TEMPLATE).models["big"]
    assert (model.replicas, model.ejected, model.can_serve) == ((), (), False)
    assert await probe(world, fleet, name, after_s=600)
    assert fleet.replica(name).reason == "it serves b, not a"
    world.probe.answers.clear()
    assert await probe(world, fleet, name, after_s=1)
    assert fleet.replica(name).state is S.READY


async def test_a_process_that_is_started_again_begins_anew_but_its_count_goes_on(world):
    fleet, name = await ejected(world)
    del world.host.running[name]
    await world.step(fleet, seconds=20, times=4)
    record = fleet.replica(name)
    assert record.state is S.READY
    assert (record.ejections, record.ejected_in_row) == (1, 0)


async def test_an_ejected_replica_can_be_drained(world):
    fleet, name = await ejected(world)
    await fleet.drain(name)
    await world.step(fleet, seconds=2)
    assert fleet.replica(name).desired is Desired.STOP
    assert fleet.replica(name).state in {S.DRAINING, S.STOPPING, S.STOPPED}
    assert fleet.snapshot(TEMPLATE).models["big"].ejected == ()


def at_ready(at):
    return replace(replica("a"), history=(HistoryEntry(at, S.READY, "ready"),))


def test_each_ejection_doubles_until_it_has_served_well_for_the_longest_one():
    record, at, pauses = at_ready(0.0), 1000.0, []
    for _ in range(8):
        changes = ejection(record, RULES, at, Random(1))
        pauses.append(round(changes["ejected_until"] - at, 1))
        at = changes["ejected_until"]
        record = replace(at_ready(at), **changes)
        at += 299
    assert pauses[0] <= 5
    assert all(1.7 < after / before < 2.3 for before, after in pairwise(pauses[:6]))
    assert 270 <= pauses[7] <= 300
    changes = ejection(record, RULES, at + 1, Random(1))
    assert changes["ejected_in_row"] == 1
    assert changes["ejections"] == 9


@given(in_row=st.integers(0, 50), seed=st.integers(), base=st.floats(0.1, 900))
def test_no_pause_is_longer_than_the_longest_and_they_are_spread(in_row, seed, base):
    rules = Ejection(base_s=base, max_s=300)
    record = replace(at_ready(0.0), ejected_in_row=in_row)
    for change in (ejection, longer):
        changes = change(record, rules, 10.0, Random(seed))
        full = min(base * 2.0**in_row, 300)
        assert changes["ejected_in_row"] == in_row + 1
        assert 0.9 * full - 1e-6 <= changes["ejected_until"] - 10.0 <= full + 1e-6
