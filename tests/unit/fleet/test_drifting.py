import asyncio
import logging
from dataclasses import replace
from itertools import pairwise

import pytest

from backends.replica import ReplicaState as S
from gateway.core.drift import Figures, GoldenAnswer
from gateway.fleet.golden import PROMPTS
from gateway.fleet.planning import CreateRequest
from gateway.fleet.settings import DriftAction, DriftRules
from gateway.state.store import Desired
from tests.fakes.fleet_world import MODELS, up
from tests.unit.fleet.test_prober import until

pytestmark = pytest.mark.anyio

ALIKE, UNLIKE = GoldenAnswer(("a", "b"), (-0.1, -0.2)), GoldenAnswer(("x", "y"), (-0.1, -0.2))


def models(**rules):
    drift = replace(DriftRules(every_s=600), **rules)
    return tuple(replace(model, drift=drift) for model in MODELS)


@pytest.fixture
def world(make_world):
    return make_world(*models())


async def equals(world, count=3):
    """A fleet with so many equal replicas."""
    fleet = await world.boot()
    return fleet, [await up(world, fleet) for _ in range(count)]


async def one_round(fleet):
    await fleet._watching.comparing.round("big")


def told(fleet, record):
    return fleet.drift(record.id)


async def test_replicas_that_answer_alike_do_not_drift(world):
    fleet, records = await equals(world)
    await one_round(fleet)
    asked = [(r.url, "org/big", prompt) for r in records for prompt in PROMPTS]
    assert sorted(world.probe.asked_golden) == sorted(asked)
    for record in records:
        drift = told(fleet, record)
        assert (drift.rounds, drift.figures, drift.why_not) == (0, Figures(1.0, 0.0), "")
        assert drift.compared_at == world.at
    assert {(name, each.rounds) for name, each in world.compared} == {
        (record.id, 0) for record in records
    }


async def test_one_that_drifts_is_reported_after_three_rounds_in_a_row(world, caplog):
    fleet, (bad, *good) = await equals(world)
    world.probe.golden_at[bad.url] = UNLIKE
    with caplog.at_level(logging.WARNING):
        for number in (1, 2, 3):
            await one_round(fleet)
            assert told(fleet, bad).rounds == number
            assert told(fleet, bad).drifts is (number == 3)
    assert told(fleet, bad).figures == Figures(0.0, 0.0)
    assert not any(told(fleet, record).rounds for record in good)
    assert f"replica {bad.id} answers unlike its siblings, round 3 in a row" in caplog.text
    assert fleet.replica(bad.id).desired is Desired.RUN, "a report, no more"
    world.probe.golden_at.clear()
    await one_round(fleet)
    assert told(fleet, bad).rounds == 0


async def test_it_is_drained_where_that_is_wanted(make_world):
    world = make_world(*models(action=DriftAction.DRAIN))
    fleet, (bad, *good) = await equals(world)
    world.probe.golden_at[bad.url] = UNLIKE
    for _ in range(2):
        await one_round(fleet)
        assert fleet.replica(bad.id).desired is Desired.RUN
    await one_round(fleet)
    assert fleet.replica(bad.id).desired is Desired.STOP
    assert [fleet.replica(r.id).desired for r in good] == [Desired.RUN] * 2


async def test_a_drain_that_the_store_refuses_is_tried_again_in_the_next_round(
    make_world, caplog
):
    world = make_world(*models(action=DriftAction.DRAIN))
    fleet, (bad, *_) = await equals(world)
    world.probe.golden_at[bad.url] = UNLIKE
    await one_round(fleet)
    await one_round(fleet)
    world.store.full = True
    await one_round(fleet)
    assert f"replica {bad.id}: not drained" in caplog.text


async def test_one_that_is_no_longer_ready_is_not_drained_for_it(make_world):
    world = make_world(*models(action=DriftAction.DRAIN))
    fleet, (bad, *_) = await equals(world)
    world.probe.golden_at[bad.url] = UNLIKE
    await one_round(fleet)
    await one_round(fleet)
    golden = world.probe.golden

    async def moved(url, source, prompt):
        if url == bad.url and fleet.replica(bad.id).state is S.READY:
            fleet._registry.move(bad.id, S.UNHEALTHY, "its probes fail")
        return await golden(url, source, prompt)

    world.probe.golden = moved
    await one_round(fleet)
    assert fleet.replica(bad.id).desired is Desired.RUN


async def test_halves_that_contradict_each_other_blame_nobody(world):
    fleet, records = await equals(world, 4)
    for record in records[:2]:
        world.probe.golden_at[record.url] = UNLIKE
    for _ in range(4):
        await one_round(fleet)
    assert [told(fleet, record).rounds for record in records] == [0] * 4
    assert told(fleet, records[0]).figures.agreement < 0.5, "the figures are shown all the same"


async def test_of_two_nobody_can_say_which_is_right(world):
    fleet, records = await equals(world, 2)
    await one_round(fleet)
    assert world.probe.asked_golden == []
    for record in records:
        assert told(fleet, record).why_not == "2 replicas are equal, 3 are needed"


async def test_only_equals_are_compared(world):
    fleet, records = await equals(world, 5)
    other = fleet._registry.update(records[3].id, dialect="main")
    spec = replace(records[4].spec, plan={"precision": "nvfp4"})
    fleet._registry.update(records[4].id, spec=spec)
    await one_round(fleet)
    assert {url for url, _, _ in world.probe.asked_golden} == {r.url for r in records[:3]}
    assert told(fleet, other).why_not == "1 replicas are equal, 3 are needed"


async def test_a_replica_with_much_to_do_is_left_out_and_keeps_its_rounds(world):
    fleet, (bad, *good) = await equals(world, 4)
    world.probe.golden_at[bad.url] = UNLIKE
    await one_round(fleet)
    world.row.add(bad.column, 3)  # of the 8 that its plan says
    world.probe.asked_golden.clear()
    await one_round(fleet)
    assert bad.url not in {url for url, _, _ in world.probe.asked_golden}
    assert (told(fleet, bad).rounds, told(fleet, bad).why_not) == (1, "it had much to do")
    assert told(fleet, bad).figures == Figures(0.0, 0.0)
    world.row.add(bad.column, -1)
    await one_round(fleet)
    assert (told(fleet, bad).rounds, told(fleet, bad).why_not) == (2, "")
    assert all(told(fleet, record).why_not == "" for record in good)


async def test_of_one_whose_room_is_not_known_any_request_is_much(world):
    fleet, records = await equals(world)
    for record in records:
        spec = replace(record.spec, concurrency=None)
        fleet._registry.update(record.id, spec=spec)
    world.row.add(records[0].column, 1)
    await one_round(fleet)
    assert told(fleet, records[0]).why_not == "it had much to do"
    assert told(fleet, records[1]).why_not == "of its equals only 1 answered"


async def test_models_without_log_probabilities_are_skipped_with_the_reason(world, caplog):
    fleet, records = await equals(world)
    for record in records:
        world.probe.golden_at[record.url] = "it completes no text"
    with caplog.at_level(logging.INFO):
        await one_round(fleet)
        await one_round(fleet)
    for record in records:
        drift = told(fleet, record)
        assert (drift.figures, drift.rounds) == (None, 0)
        assert drift.why_not == "it completes no text"
        line = f"replica {record.id} was not compared with its siblings: it completes no text"
        assert caplog.text.count(line) == 1, "said once, not each round"
    assert len(world.probe.asked_golden) == 6, "the first prompt told it"


async def test_another_run_of_a_replica_begins_with_nothing(world):
    fleet, (bad, *_) = await equals(world)
    world.probe.golden_at[bad.url] = UNLIKE
    await one_round(fleet)
    fleet._registry.update(bad.id, handle={"pid": 999})
    assert told(fleet, bad).rounds == 0
    await one_round(fleet)
    assert told(fleet, bad).rounds == 1


async def test_a_models_turn_comes_with_jitter_and_never_where_it_is_off(make_world):
    big, small = models()
    world = make_world(big, replace(small, drift=DriftRules(600, DriftAction.NONE)))
    fleet, _ = await equals(world, 1)
    comparing = fleet._watching.comparing
    assert comparing.due() == [], "not at the start"
    turns = []
    for _ in range(10_000):
        world.at += 1
        turns += [(world.at, name) for name in comparing.due()]
    pauses = [after - before for (before, _), (after, _) in pairwise(turns)]
    assert {name for _, name in turns} == {"big"}
    assert all(480 <= pause <= 721 for pause in pauses)
    assert len(set(pauses)) > 5


async def two_looks(fleet):
    """Wait until it has looked twice more whose turn it is, and acted on it."""
    comparing, looks = fleet._watching.comparing, []
    due = comparing.due

    def looked():
        looks.append(True)
        return due()

    comparing.due = looked
    await until(lambda: len(looks) > 2)
    comparing.due = due


@pytest.mark.parametrize("action", [DriftAction.REPORT, DriftAction.NONE])
async def test_it_compares_by_itself_and_asks_nobody_where_it_is_off(
    make_world, monkeypatch, action
):
    monkeypatch.setattr("gateway.fleet.drifting._LOOK_S", 0.01)
    world = make_world(*models(every_s=60, action=action))
    fleet, records = await equals(world)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await two_looks(fleet)  # at the first one its pause begins
        world.at += 100
        await two_looks(fleet)
        running.cancel()
    asks = action is DriftAction.REPORT
    assert bool(world.probe.asked_golden) is asks
    assert (told(fleet, records[0]).figures is not None) is asks


async def test_a_model_that_is_scaled_to_nothing_has_no_round(world):
    fleet = await world.boot()
    await fleet._watching.comparing.round("big")
    await fleet.create(CreateRequest("big"))
    await fleet._watching.comparing.round("big")
    assert world.compared == []
