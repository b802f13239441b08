"""Which answer meets which fault."""

from collections import Counter

import pytest

from backends.simulator.faults import parse_fault
from tests.chaos.faults import BEFORE_HEAD, KINDS, WINDOWS, By, Schedule

CALLS = range(4000)
SCHEDULE = Schedule(5)


def drawn(schedule, arrival=0, *, stream=True):
    return [schedule.strike(number, arrival, stream=stream) for number in CALLS]


def test_a_seed_replays_its_faults_in_whatever_order_calls_come():
    assert drawn(Schedule(5)) == drawn(SCHEDULE)
    assert [Schedule(5).strike(n, 0, stream=True) for n in reversed(CALLS)] == drawn(SCHEDULE)[
        ::-1
    ]
    assert drawn(Schedule(6)) != drawn(SCHEDULE)
    assert Schedule(5).window(3, 4) == SCHEDULE.window(3, 4)


def test_every_kind_is_drawn_for_streams():
    kinds = {kind.name for kind in KINDS.values() if kind.by is not By.WINDOW}
    assert {each.kind for each in drawn(SCHEDULE) if each} == kinds
    assert {SCHEDULE.window(index, 4).kind for index in range(50)} == set(WINDOWS)


def test_an_answer_that_is_not_streamed_never_meets_silence():
    silent = {kind.name for kind in KINDS.values() if kind.silent}
    assert not {each.kind for each in drawn(SCHEDULE, stream=False) if each} & silent


def test_a_call_meets_two_faults_at_most_but_for_a_few_that_no_replica_answers():
    first, second, third = (drawn(SCHEDULE, arrival) for arrival in range(3))
    hopeless = [number for number in CALLS if SCHEDULE.hopeless(number)]
    assert 50 < len(hopeless) < len(CALLS) / 20
    assert [n for n in CALLS if third[n]] == hopeless
    assert {third[n].kind for n in hopeless} == set(BEFORE_HEAD)
    met = Counter(bool(first[n]) + bool(second[n]) for n in CALLS if n not in hopeless)
    assert met[0] > 0
    assert met[1] > met[2] > 0


def test_only_the_kinds_that_were_chosen_are_drawn():
    found = drawn(Schedule(5, kinds=["reset", "hole"]))
    hopeful = [n for n in CALLS if found[n] and not SCHEDULE.hopeless(n)]
    assert {found[n].kind for n in hopeful} == {"reset", "hole"}


@pytest.mark.parametrize(
    "kind", [k for k in KINDS.values() if k.by is By.SIMULATOR], ids=lambda kind: kind.name
)
def test_the_simulator_knows_what_it_is_told(kind):
    told = {each.told(8) for each in drawn(Schedule(1, kinds=[kind.name])) if each
            and each.kind == kind.name}  # fmt: skip
    faults = [parse_fault(text) for text in told]
    assert all(fault.after_tokens < 8 for fault in faults)
    middle = kind.effect in {
        "stall",
        "cut",
        "engine_error",
        "end_early",
        "half_event",
        "garbage",
    }
    assert len(faults) == (8 if middle else 1)
