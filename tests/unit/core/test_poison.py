import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    InvalidRequest,
    Quarantined,
    UpstreamConnectFailed,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.core.poison import Suspects, is_death

BAD, OTHER = (7, b"bad"), (9, b"other")
FOR_S = 600.0


def suspected(suspects, request=BAD, at=0.0):
    return suspects.suspected(request, at=at, for_s=FOR_S)


def after(*deaths, answered=True):
    """Return what is known after these deaths: replica, when, alone."""
    suspects = Suspects()
    for replica, at, alone in deaths:
        suspects.died(BAD, "m", replica, at, alone=alone)
        if answered:
            suspects.answered("m", OTHER)
    return suspects


CONVICTING = [("a", 0.0, False), ("b", 1.0, False), ("c", 2.0, True)]


def test_nobody_is_suspected_before_a_replica_died():
    suspects = Suspects()
    assert suspects.none
    assert not suspected(suspects)
    assert suspects.sizes() == set()


@pytest.mark.parametrize(("died", "suspect"), [(1, False), (2, True)])
def test_a_request_is_suspected_after_two_deaths_and_not_refused(died, suspect):
    suspects = after(*CONVICTING[:died])
    assert suspected(suspects) is suspect
    assert not suspected(suspects, OTHER)
    assert not suspects.none
    assert suspects.sizes() == {7}


def test_the_third_death_with_no_other_suspect_beside_it_has_it_refused():
    suspects = after(*CONVICTING)
    with pytest.raises(Quarantined, match=r"3 replicas died of this very request.* 599 s more"):
        suspected(suspects, at=3.0)


def test_it_is_not_refused_where_another_may_have_been_the_one():
    assert suspected(after(("a", 0, False), ("b", 0, False), ("c", 0, False), ("d", 0, False)))


def test_it_is_not_refused_for_what_happened_while_nobody_was_answered():
    suspects = after(*CONVICTING, answered=False)
    suspects.answered("of another model", OTHER)
    suspects.died(BAD, "m", "d", 8.0, alone=True)
    assert suspected(suspects, at=8.0)
    suspects.answered("m", None)  # the outage is over
    assert suspected(suspects, at=9.0)
    suspects.died(BAD, "m", "e", 9.0, alone=True)
    with pytest.raises(Quarantined):
        suspected(suspects, at=9.0)


def test_an_answer_clears_it():
    suspects = after(*CONVICTING)
    suspects.answered("m", BAD)
    assert suspects.none
    assert not suspected(suspects, at=3.0)


def test_after_its_time_it_is_as_any_other():
    suspects = after(*CONVICTING)
    assert not suspected(suspects, at=2.0 + FOR_S)
    assert suspects.none


def test_like_requests_at_one_replica_see_one_death():
    suspects = after(*[("a", second / 10, True) for second in range(40)])
    assert not suspected(suspects, at=4.0)
    again = after(("a", 0.0, False), ("a", 9.0, False))  # it was restarted, and died again
    assert suspected(again, at=9.0)


def test_the_oldest_are_forgotten_first():
    suspects = Suspects()
    for length in range(1030):
        suspects.died((length, b""), "m", "a", 0.0, alone=False)
    assert suspects.sizes() == set(range(6, 1030))


@pytest.mark.parametrize(
    ("failure", "death"),
    [
        (UpstreamDisconnected, True),
        (UpstreamConnectFailed, False),
        (UpstreamTimeout, False),
        (UpstreamError, False),
        (InvalidRequest, False),
    ],
)
def test_only_a_replica_that_hung_up_on_it_seems_to_have_died(failure, death):
    assert is_death(failure("x")) is death


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans())))
def test_nobody_is_refused_who_was_answered_or_never_alone(events):
    suspects, at, deaths, guilty = Suspects(), 0.0, 0, False
    for replica, alone, answered in events:
        at += 10.0
        if answered:
            suspects.answered("m", BAD)
            deaths, guilty = 0, False
        else:
            suspects.died(BAD, "m", replica, at, alone=alone)
            deaths += 1
            guilty = guilty or (alone and deaths >= 3)
        suspects.answered("m", None)
        try:
            suspect = suspects.suspected(BAD, at=at, for_s=1e9)
        except Quarantined:
            assert guilty
        else:
            assert suspect == (deaths >= 2)
            assert not guilty
