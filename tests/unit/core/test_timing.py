import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.timing import StreamMeter


def test_nothing_is_known_before_content_came():
    meter = StreamMeter()
    assert (meter.first_at, meter.gaps_s, meter.events) == (None, [], 0)


def test_gaps_are_measured_between_events_of_one_choice():
    meter = StreamMeter()
    for choice, at in ((0, 1.0), (1, 1.25), (0, 1.5), (1, 2.25)):
        meter.content(choice, at)
    assert (meter.first_at, meter.last_at, meter.events) == (1.0, 2.25, 4)
    assert meter.gaps_s == [0.5, 1.0]


@given(gaps=st.lists(st.floats(0, 10), min_size=1))
def test_the_gaps_of_one_choice_sum_to_its_decode_time(gaps):
    meter, at = StreamMeter(), 0.0
    for gap in gaps:
        at += gap
        meter.content(0, at)
    assert meter.first_at == gaps[0]
    assert sum(meter.gaps_s) == pytest.approx(at - gaps[0])
    assert len(meter.gaps_s) == meter.events - 1


@given(choices=st.lists(st.integers(0, 3), min_size=1))
def test_the_gaps_of_each_choice_are_its_own_in_whatever_order_they_come(choices):
    meter, last, gaps = StreamMeter(), {}, []
    for at, choice in enumerate(choices, start=1):
        meter.content(choice, float(at))
        if choice in last:
            gaps.append(float(at - last[choice]))
        last[choice] = at
    assert meter.gaps_s == gaps
    assert (meter.events, meter.first_at, meter.last_at) == (len(choices), 1.0, len(choices))


@given(steps=st.lists(st.booleans()))
def test_more_of_the_only_choice_counts_like_any_content(steps):
    one, other = StreamMeter(), StreamMeter()
    one.content(0, 1.0)
    other.content(0, 1.0)
    for at, quick in enumerate(steps, start=2):
        (one.more if quick else lambda t: one.content(0, t))(float(at))
        other.content(0, float(at))
    assert (one.gaps_s, one.events, one.last_at) == (other.gaps_s, other.events, other.last_at)
