import pytest

from backends.replica import (
    TRANSITIONS,
    IllegalTransition,
    ReplicaSpec,
    ReplicaState,
    check_transition,
    spec_hash,
)


def test_every_state_has_followers_and_only_known_ones():
    assert set(TRANSITIONS) == set(ReplicaState)


@pytest.mark.parametrize("state", ReplicaState)
def test_staying_is_always_allowed(state):
    check_transition(state, state)


def test_a_move_that_is_not_in_the_table_is_refused():
    check_transition(ReplicaState.PENDING, ReplicaState.STARTING)
    with pytest.raises(IllegalTransition, match="from stopped to ready"):
        check_transition(ReplicaState.STOPPED, ReplicaState.READY)


def test_the_hash_tells_what_would_run_and_not_why():
    spec = ReplicaSpec("m", "s", "process", argv=("a",), env={"A": "1", "B": "2"})
    turned = ReplicaSpec(
        "m", "s", "process", argv=("a",), env={"B": "2", "A": "1"}, plan={"x": 1}
    )
    assert spec_hash(spec) == spec_hash(turned)
    assert spec_hash(spec) != spec_hash(ReplicaSpec("m", "s", "process", argv=("b",)))
