from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.replica import ReplicaId
from gateway.core.outcome import AttemptOutcome
from gateway.core.outlier import Cause, Outlier, Sign
from gateway.core.refusals import Refusals
from gateway.core.snapshot import Ejection, ModelView, ReplicaView
from gateway.core.standing import Standings

RULES = Ejection(over_requests=10, refused_margin=0.4)


def view(name, **known):
    return ReplicaView(ReplicaId(name), "h", 1, "s", "1.2", 0, **known)


def models(*names, rules=RULES, **changed):
    views = [replace(view(name), **changed.get(name, {})) for name in names]
    return [ModelView("m", 1, replicas=tuple(views), ejection=rules)]


def over(*names, rules=RULES, **changed):
    refusals = Refusals()
    refusals.take(models(*names, rules=rules, **changed))
    return refusals


def noted(refusals, name, *answers):
    """Note answers, ``x`` for a refusal; return what was found."""
    return [
        found
        for answer in answers
        for each in answer
        if (found := refusals.note(ReplicaId(name), refused=each == "x"))
    ]


WELL, ILL = "." * 10, "x" * 10


def test_one_that_refuses_all_when_its_siblings_refuse_none_is_suspect():
    refusals = over("a", "b", "c")
    assert noted(refusals, "b", WELL) == noted(refusals, "c", WELL) == []
    (found,) = noted(refusals, "a", ILL)
    assert found == (
        "10 of its last 10 answers say that the request is wrong, of its siblings' 0%"
    )


def test_with_a_margin_of_one_none_ever_is():
    refusals = over("a", "b", "c", rules=replace(RULES, refused_margin=1.0))
    for name, answers in (("b", WELL), ("c", WELL), ("a", ILL * 5)):
        assert noted(refusals, name, answers) == []


def test_so_many_answers_are_looked_at_of_each():
    refusals = over("a", "b", "c")
    assert noted(refusals, "a", ILL) == []
    noted(refusals, "b", WELL)
    noted(refusals, "c", WELL[1:])
    assert noted(refusals, "a", "x") == []
    noted(refusals, "c", ".")
    assert len(noted(refusals, "a", "x")) == 1


def test_it_begins_anew_once_it_is_suspect():
    refusals = over("a", "b", "c")
    noted(refusals, "b", WELL)
    noted(refusals, "c", WELL)
    assert len(noted(refusals, "a", ILL)) == 1
    assert noted(refusals, "a", ILL[1:]) == []
    assert len(noted(refusals, "a", "x")) == 1


@pytest.mark.parametrize("fine", [4, 5])
def test_it_must_be_above_its_siblings_by_more_than_the_margin(fine):
    refusals = over("a", "b", "c", rules=replace(RULES, refused_margin=0.5))
    noted(refusals, "b", WELL)
    noted(refusals, "c", WELL)
    assert bool(noted(refusals, "a", "." * fine + "x" * (10 - fine))) is (fine < 5)


def test_only_the_last_answers_count():
    refusals = over("a", "b", "c")
    noted(refusals, "b", ILL, WELL)
    noted(refusals, "c", ILL, WELL)
    assert len(noted(refusals, "a", WELL, "xxxxx")) == 1


def test_of_two_replicas_nobody_can_say_which_is_right():
    refusals = over("a", "b")
    noted(refusals, "b", WELL)
    assert noted(refusals, "a", ILL * 3) == []


def test_another_release_refuses_other_things_so_it_is_no_sibling():
    refusals = over("a", "b", "c", c={"dialect": "1.0"})
    noted(refusals, "b", WELL)
    noted(refusals, "c", WELL)
    assert noted(refusals, "a", ILL * 3) == []


def test_a_new_snapshot_forgets_those_that_are_away_and_keeps_the_others():
    refusals = over("a", "b", "c")
    for name in "bc":
        noted(refusals, name, WELL)
    noted(refusals, "a", ILL[1:])
    refusals.take(models("a", "b", "c"))
    assert len(noted(refusals, "a", "x")) == 1
    noted(refusals, "a", ILL[1:])
    refusals.take(models("b", "c"))
    assert noted(refusals, "a", ILL) == []
    refusals.take(models("a", "b", "c"))
    assert noted(refusals, "a", ILL[1:]) == []
    refusals.take(models("a", "b", "c", rules=replace(RULES, over_requests=5)))
    assert noted(refusals, "a", "x" * 5) == []


@given(data=st.data(), replicas=st.integers(3, 6))
def test_clients_whose_requests_are_wrong_everywhere_make_nobody_suspect(data, replicas):
    """Whatever the order in which they reach the replicas."""
    names = "abcdef"[:replicas]
    refusals = over(*names)
    turns = data.draw(st.lists(st.sampled_from(names), max_size=200))
    assert [found for name in turns for found in noted(refusals, name, "x")] == []


def test_a_standing_leaves_a_suspect_in():
    standings = Standings()
    standings.take(models("a", "b", "c"), at=0.0)

    def note(name, outcome, sign=Sign.ANSWERED):
        return standings.note(ReplicaId(name), sign, outcome, began_at=1.0, at=2.0)

    for name in "bc":
        assert [note(name, AttemptOutcome.OK) for _ in range(10)] == [None] * 10
    for _ in range(3):  # these tell nothing of it
        assert note("a", AttemptOutcome.CANCELLED, Sign.NONE) is None
    found = [note("a", AttemptOutcome.HTTP_4XX) for _ in range(10)]
    assert found[:9] == [None] * 9
    assert isinstance(found[9], Outlier)
    assert (found[9].replica, found[9].cause, found[9].ejections) == ("a", Cause.REFUSED, 0)
    assert standings.ordinary
    assert standings.left_out(3.0) == set()
