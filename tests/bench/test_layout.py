"""Cores are given out so that nothing shares a worker's, as long as there are enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.layout import lay_out, physical_cores

TWO = [[0], [1]]
SIXTEEN = [[n] for n in range(16)]
EIGHT_OF_TWO_THREADS = [[n, n + 8] for n in range(8)]


def test_on_two_cores_the_worker_has_one_and_all_else_the_other():
    layout = lay_out(TWO, workers=1, feeders=2)
    assert (layout.workers, layout.supervisor, layout.feeders) == ([0], 1, [1, 1])
    assert layout.workers_alone


def test_with_enough_cores_everybody_has_one():
    layout = lay_out(SIXTEEN, workers=4, feeders=8)
    used = [*layout.workers, layout.supervisor, *layout.feeders]
    assert sorted(used) == list(range(13))
    assert layout.workers_alone


def test_the_second_thread_of_a_workers_core_stays_empty():
    layout = lay_out(EIGHT_OF_TWO_THREADS, workers=4, feeders=8)
    assert layout.workers == [0, 1, 2, 3]
    assert {8, 9, 10, 11}.isdisjoint({layout.supervisor, *layout.feeders})
    assert layout.workers_alone


@pytest.mark.parametrize(
    ("cores", "workers"), [(TWO, 2), (EIGHT_OF_TWO_THREADS, 8), ([[0]], 1), ([[0, 1]], 1)]
)
def test_it_says_when_a_worker_is_not_alone(cores, workers):
    assert not lay_out(cores, workers, 2 * workers).workers_alone


@given(
    count=st.integers(1, 20), threads=st.integers(1, 2),
    workers=st.integers(1, 32), feeders=st.integers(2, 64),
)  # fmt: skip
def test_everybody_is_placed_on_a_thread_that_exists(count, threads, workers, feeders):
    cores = [[n + count * t for t in range(threads)] for n in range(count)]
    layout = lay_out(cores, workers, feeders)
    assert (len(layout.workers), len(layout.feeders)) == (workers, feeders)
    existing = {thread for core in cores for thread in core}
    assert {*layout.workers, layout.supervisor, *layout.feeders} <= existing
    if layout.workers_alone:
        assert len(set(layout.workers)) == workers
        assert {layout.supervisor, *layout.feeders}.isdisjoint(layout.workers)


def test_this_machine_has_cores_and_none_twice():
    threads = [thread for core in physical_cores() for thread in core]
    assert threads
    assert len(set(threads)) == len(threads)
