from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.admission import Queue, Waiter, has_room, priority_of
from gateway.core.errors import Overloaded, QueueTimeout


def queue_of(most=100):
    return Queue(most, Random(1))


def waiter(came_at=0.0, *, priority=5, slots=1, until=1000.0):
    return Waiter(priority=priority, slots=slots, came_at=came_at, until=until)


def served_one_each(queue, seconds, count):
    """Have ``count`` be served at that pace from 0 on, with others left behind them."""
    for number in range(count):
        each = waiter(number / 1000)
        queue.join(each, 0.0)
        queue.serve(queue.first(1)[0], number * seconds)


def order(queue):
    got = []
    while len(queue):
        (first,) = queue.first(1)
        got.append(first)
        queue.leave(first)
    return got


def test_the_urgent_are_served_first_and_equals_as_they_came():
    queue = queue_of()
    late, early, urgent, patient = (
        waiter(2.0),
        waiter(1.0),
        waiter(9.0, priority=0),
        waiter(priority=9),
    )
    for each in (late, patient, early, urgent):
        assert queue.join(each, 9.0) is None
    assert order(queue) == [urgent, early, late, patient]


def test_whoever_leaves_is_not_served_and_may_leave_twice():
    queue, gone, stays = queue_of(), waiter(0.0), waiter(1.0)
    queue.join(gone, 0.0)
    queue.join(stays, 0.0)
    queue.leave(gone)
    queue.leave(gone)
    assert queue.first(9) == [stays]


def test_a_full_queue_turns_away_whoever_is_not_more_urgent_than_its_last():
    queue = queue_of(most=2)
    last = waiter(1.0)
    queue.join(waiter(0.0), 0.0)
    queue.join(last, 0.0)
    for priority in (5, 9):
        with pytest.raises(Overloaded) as turned_away:
            queue.join(waiter(2.0, priority=priority), 2.0)
        assert turned_away.value.rejection == "queue_full"
        assert turned_away.value.retry_after_s >= 0.75
    assert queue.join(waiter(3.0, priority=4), 3.0) is last
    assert len(queue) == 2


def test_where_nobody_may_wait_nobody_does():
    with pytest.raises(Overloaded):
        queue_of(most=0).join(waiter(priority=0), 0.0)


def test_a_wait_that_would_be_too_long_is_not_begun():
    queue = queue_of()
    queue.join(waiter(0.5, priority=9), 0.0)  # so that it is never empty
    served_one_each(queue, 1.0, 20)
    for _ in range(4):
        queue.join(waiter(20.0, until=1000.0), 20.0)
    wait_s = queue.expected_s(5, 1, 20.0)
    assert 4.5 < wait_s < 6
    assert queue.join(waiter(20.0, until=27.0), 20.0) is None
    with pytest.raises(QueueTimeout) as refused:
        queue.join(waiter(20.0, until=23.0), 20.0)
    assert refused.value.rejection == "queue_timeout"
    assert "would wait too long" in str(refused.value)
    assert queue.join(waiter(20.0, priority=0, until=23.0), 20.0) is None  # it goes before them


def test_the_longer_nobody_is_served_the_longer_a_wait_is_expected():
    queue = queue_of()
    queue.join(waiter(0.5, priority=9), 0.0)
    served_one_each(queue, 1.0, 20)
    assert queue.expected_s(5, 1, 100.0) > 3 * queue.expected_s(5, 1, 20.0)


def test_nothing_is_expected_before_enough_were_served_and_after_the_queue_was_empty():
    queue = queue_of()
    queue.join(waiter(0.5, priority=9), 0.0)
    served_one_each(queue, 1.0, 7)
    assert queue.expected_s(5, 1, 7.0) is None
    served_one_each(queue, 1.0, 1)
    assert queue.expected_s(5, 1, 8.0) is not None
    queue.leave(queue.first(1)[0])
    assert queue.expected_s(5, 1, 8.0) is None


def test_whoever_waited_in_vain_is_told_how_long():
    queue, tired = queue_of(), waiter(1.0, until=3.5)
    queue.join(tired, 1.0)
    said = queue.waited_long(tired, 3.5)
    assert "had room within 2.5 s" in str(said)
    assert (said.status, said.code, said.rejection) == (
        503,
        "server_overloaded",
        "queue_timeout",
    )


def test_the_others_come_back_one_by_one_and_within_a_minute():
    queue = queue_of(most=1)
    queue.join(waiter(), 0.0)
    seconds = {queue.full(0.0).retry_after_s for _ in range(50)}
    assert len(seconds) == 50
    assert min(seconds) >= 0.75
    slow = queue_of(most=1000)
    slow.join(waiter(0.5, priority=9), 0.0)
    served_one_each(slow, 100.0, 20)
    assert slow.full(2000.0).retry_after_s == 60.0


@given(
    priorities=st.lists(st.integers(0, 9), max_size=40),
    most=st.integers(0, 10),
)
def test_the_queue_keeps_the_most_urgent_and_is_never_longer_than_it_may_be(priorities, most):
    queue, turned_away = queue_of(most), []
    for number, priority in enumerate(priorities):
        comes = waiter(float(number), priority=priority)
        try:
            displaced = queue.join(comes, float(number))
        except Overloaded:
            displaced = comes
        if displaced is not None:
            turned_away.append(displaced)
        assert len(queue) <= most
    kept = order(queue)
    assert len(kept) + len(turned_away) == len(priorities)
    assert [w.priority for w in kept] == sorted(priorities)[:most]
    assert kept == sorted(kept, key=lambda each: (each.priority, each.came_at))


@pytest.mark.parametrize(
    ("in_flight", "slots", "limit", "room"),
    [
        (10, 1, None, True), (3, 1, 4, True), (4, 1, 4, False), (3, 2, 4, False),
        (0, 9, 4, True), (1, 9, 4, False),
    ],
)  # fmt: skip
def test_a_replica_has_room_up_to_its_limit_and_when_idle_for_anything(
    in_flight, slots, limit, room
):
    assert has_room(in_flight, slots, limit) is room


@pytest.mark.parametrize(
    ("value", "priority"),
    [
        (None, 5),
        (b"0", 0),
        (b"9", 9),
        (b"10", 5),
        (b"-1", 5),
        (b"", 5),
        (b"x", 5),
        (b"\xb2", 5),
    ],
)
def test_a_priority_is_one_digit(value, priority):
    assert priority_of(value) == priority
