from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.replica import ReplicaId
from gateway.core.filters import able, not_ejected, untried
from gateway.core.picking import Candidate, LeastInFlight, WeightedPick
from gateway.core.snapshot import ReplicaView


def candidates(*loads, dialects=()):
    return [
        Candidate(
            ReplicaView(
                id=ReplicaId(f"r{i}"),
                host="h",
                port=i,
                source="s",
                dialect=dialects[i] if dialects else "1.0",
                column=i,
            ),
            load,
        )
        for i, load in enumerate(loads)
    ]


def ids(found):
    return [c.replica.id for c in found]


def picker(seed=1):
    return WeightedPick([(LeastInFlight(), 1.0)], Random(seed))


loads = st.lists(st.integers(0, 99), min_size=1, max_size=8)


@given(loads)
def test_scores_lie_between_0_and_1_and_the_least_busy_is_best(loads):
    scores = LeastInFlight().score(candidates(*loads))
    assert all(0 <= score <= 1 for score in scores)
    assert scores[loads.index(min(loads))] == 1


@given(loads, st.integers())
def test_a_replica_with_the_fewest_requests_open_is_picked(loads, seed):
    decision = picker(seed).pick(candidates(*loads))
    assert decision.chosen.in_flight == min(loads)
    assert decision.considered == len(loads)
    assert decision.reason == ("only_choice" if len(loads) == 1 else "least_load")


def test_ties_are_broken_at_random():
    pick, tied = picker(), candidates(1, 0, 0, 0)
    chosen = Counter(pick.pick(tied).chosen.replica.id for _ in range(900))
    assert set(chosen) == {"r1", "r2", "r3"}
    assert min(chosen.values()) > 200


def test_weights_decide_between_scorers():
    class PreferLast:
        def score(self, found):
            return [float(i == len(found) - 1) for i in range(len(found))]

    both = [(LeastInFlight(), 1.0), (PreferLast(), 3.0)]
    assert WeightedPick(both, Random(1)).pick(candidates(0, 5)).chosen.replica.id == "r1"


def test_a_replica_that_was_tried_is_left_out():
    assert ids(untried(candidates(0, 0, 0), {"r1"})) == ["r0", "r2"]


def test_a_replica_that_is_too_old_for_the_request_is_left_out():
    mixed = candidates(0, 0, 0, 0, dialects=("1.0", "1.2", "main", "9.9"))
    assert ids(able(mixed, 0)) == ["r0", "r1", "r2", "r3"]
    assert ids(able(mixed, 2)) == ["r1", "r2", "r3"]
    assert ids(able(mixed, 3)) == ["r2", "r3"]
    assert able(mixed, 4) == []


def with_shares(*pairs):
    found = candidates(*(load for load, _ in pairs))
    return [
        Candidate(c.replica, c.in_flight, share)
        for c, (_, share) in zip(found, pairs, strict=True)
    ]


def test_a_replica_that_comes_back_gets_its_share_and_not_the_whole_herd():
    loads, pick = [0, 20, 20], picker()
    for _ in range(300):
        shares = zip(loads, (0.1, 1.0, 1.0), strict=True)
        chosen = pick.pick(with_shares(*shares)).chosen.replica.column
        loads[chosen] += 1
    assert sum(loads) == 340
    assert loads[0] == pytest.approx(340 * 0.1 / 2.1, abs=2)


@given(st.lists(st.tuples(st.integers(0, 99), st.floats(0.1, 1)), min_size=2, max_size=8))
def test_the_least_load_for_its_share_is_picked(pairs):
    chosen = picker().pick(with_shares(*pairs)).chosen
    least = min((load + 1) / share for load, share in pairs)
    assert (chosen.in_flight + 1) / chosen.share == pytest.approx(least)


def test_an_ejected_replica_is_left_out():
    assert ids(not_ejected(candidates(0, 0, 0), {"r1"}, 0.5)) == ["r0", "r2"]
    assert ids(not_ejected(candidates(0, 0), {"r1"}, 0.5)) == ["r0"]
    assert ids(not_ejected(candidates(0, 0), set(), 0.5)) == ["r0", "r1"]
    assert ids(not_ejected(candidates(0, 0), {"another"}, 0.0)) == ["r0", "r1"]


def test_where_most_are_ejected_all_are_asked():
    assert ids(not_ejected(candidates(0, 0, 0), {"r1", "r2"}, 0.5)) == ["r0", "r1", "r2"]
    assert ids(not_ejected(candidates(0), {"r0"}, 0.5)) == ["r0"]
    assert ids(not_ejected(candidates(0, 0), {"r1"}, 0.0)) == ["r0", "r1"]
    assert not_ejected(candidates(0, 0), {"r0", "r1"}, 1.0) == []


@given(st.integers(1, 9), st.sets(st.integers(0, 9)), st.floats(0, 1, exclude_max=True))
def test_there_is_always_somebody_to_ask(count, out, panic_share):
    fit = candidates(*[0] * count)
    left = not_ejected(fit, {f"r{i}" for i in out}, panic_share)
    assert left
    assert len(left) == count or len(left) >= (1 - panic_share) * count - 1e-9
