from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.launcher import Exit, Remedy
from backends.replica import TRANSITIONS, ReplicaId, ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.fleet.decisions import (
    Drop,
    Facts,
    Fail,
    Launch,
    Move,
    Rules,
    Stop,
    backoff_s,
    decide,
    failure,
)
from gateway.fleet.settings import ReconcileSettings
from gateway.state.store import Desired, HistoryEntry, ReplicaRecord

AT = 10_000.0
DIED = Exit(1, "exited", "it ended with code 1")
HOPELESS = Exit(1, "gpu_oom", "the model needs more memory", Remedy.PERMANENT)
RULES = Rules(ReconcileSettings(jitter_share=0.0), Random(1))


def record(state, *, since=AT - 5, desired=Desired.RUN, launcher="sim", **changes):
    made = ReplicaRecord(
        id=ReplicaId("r"), spec=ReplicaSpec("m", "m", launcher, argv=("run",)),
        desired=desired, state=state, created_at=0.0,
        history=(HistoryEntry(since, state, ""),),
    )  # fmt: skip
    return replace(made, **changes)


def act(state, *, leases=0, end=None, **changes):
    return decide(record(state, **changes), Facts(AT, leases, end), RULES)


def test_a_wanted_replica_is_launched_and_an_unanswered_launch_is_asked_again():
    assert act(S.PENDING) == Launch()
    assert act(S.STARTING) == Launch()


@pytest.mark.parametrize("state", [S.LOADING, S.READY, S.UNHEALTHY, S.EJECTED])
def test_a_replica_that_runs_and_is_wanted_is_left_alone(state):
    assert act(state) is None


@pytest.mark.parametrize("state", [S.LOADING, S.READY, S.UNHEALTHY, S.EJECTED])
def test_one_that_ends_by_itself_waits_and_one_that_cannot_work_fails(state):
    assert act(state, end=DIED) == Fail(
        Move(
            S.BACKOFF,
            "exited: it ended with code 1; next start in 10 s",
            {"attempt": 1, "not_before": AT + 10},
        )
    )
    assert act(state, end=HOPELESS) == Fail(
        Move(S.FAILED, "gpu_oom: the model needs more memory", {"attempt": 1})
    )


def test_the_pause_doubles_up_to_its_limit_and_the_fifth_failure_is_the_last():
    assert [backoff_s(n, RULES) for n in range(1, 8)] == [10, 20, 40, 80, 160, 300, 300]
    fourth = failure(record(S.LOADING, attempt=3), DIED, AT, RULES)
    assert (fourth.state, fourth.changes["not_before"]) == (S.BACKOFF, AT + 80)
    fifth = failure(record(S.LOADING, attempt=4), DIED, AT, RULES)
    assert (fifth.state, fifth.changes) == (S.FAILED, {"attempt": 5})
    assert "5 failures in a row" in fifth.reason


@given(attempt=st.integers(1, 30), seed=st.integers())
def test_jitter_keeps_the_pause_within_a_fifth(attempt, seed):
    rules = Rules(ReconcileSettings(), Random(seed))
    calm = backoff_s(attempt, RULES)
    assert 0.8 * calm <= backoff_s(attempt, rules) <= 1.2 * calm


def test_ten_minutes_of_service_forgive_earlier_failures():
    run = (HistoryEntry(AT - 700, S.STARTING, ""), HistoryEntry(AT - 601, S.READY, ""))
    stable = record(S.READY, attempt=4, history=run)
    assert failure(stable, DIED, AT, RULES).changes["attempt"] == 1
    flapped = (*run, HistoryEntry(AT - 9, S.UNHEALTHY, ""), HistoryEntry(AT - 5, S.READY, ""))
    assert failure(replace(stable, history=flapped), DIED, AT, RULES).changes["attempt"] == 1
    again = (*run, HistoryEntry(AT - 50, S.STARTING, ""), HistoryEntry(AT - 5, S.READY, ""))
    assert failure(replace(stable, history=again), DIED, AT, RULES).state is S.FAILED


def test_a_start_has_a_deadline():
    assert act(S.LOADING, since=AT - 3599) is None
    action = act(S.LOADING, since=AT - 3600)
    assert isinstance(action, Fail)
    assert action.move.reason.startswith("start_deadline: it was not ready within 3600 s")


def test_one_that_stays_unhealthy_is_started_again():
    assert act(S.UNHEALTHY, since=AT - 299) is None
    action = act(S.UNHEALTHY, since=AT - 300, reason="/health says 503")
    assert isinstance(action, Fail)
    assert "it stayed unhealthy (/health says 503)" in action.move.reason


def test_backoff_ends_when_its_time_has_come():
    assert act(S.BACKOFF, not_before=AT + 1) is None
    assert act(S.BACKOFF, not_before=AT) == Move(S.PENDING, "pause is over")


def test_one_that_failed_for_good_waits_for_people():
    assert act(S.FAILED) is None


@pytest.mark.parametrize("state", [S.READY, S.UNHEALTHY, S.EJECTED])
def test_an_unwanted_replica_drains_within_its_grace(state):
    drained = act(state, desired=Desired.STOP)
    assert drained == Move(S.DRAINING, "not wanted any more", {"drain_deadline": AT + 300})
    hasty = act(state, desired=Desired.STOP, drain_deadline=AT + 7)
    assert hasty.changes == {"drain_deadline": AT + 7}


def test_a_drain_ends_when_the_last_request_has_and_workers_had_time_to_hear_of_it():
    assert act(S.DRAINING, leases=1) is None
    assert act(S.DRAINING, since=AT - 0.9) is None
    assert act(S.DRAINING).state is S.STOPPING


def test_a_drain_ends_with_its_grace():
    late = act(S.DRAINING, leases=3, drain_deadline=AT)
    assert late == Move(
        S.STOPPING, "grace is over with 3 requests running", {"drain_deadline": None}
    )


def test_one_that_dies_while_it_drains_is_not_waited_for():
    assert act(S.DRAINING, leases=3, end=DIED).state is S.STOPPING


@pytest.mark.parametrize("state", [S.PENDING, S.BACKOFF, S.FAILED])
def test_an_unwanted_replica_that_does_not_run_is_stopped_at_once(state):
    assert act(state, desired=Desired.STOP).state is S.STOPPED


@pytest.mark.parametrize("state", [S.STARTING, S.LOADING])
def test_an_unwanted_replica_that_never_served_needs_no_drain(state):
    assert act(state, desired=Desired.FORGET).state is S.STOPPING


def test_stopping_is_asked_until_it_is_done_and_then_the_wish_decides():
    assert act(S.STOPPING) == Stop()
    assert act(S.STOPPED, desired=Desired.STOP) is None
    assert act(S.STOPPED, desired=Desired.FORGET) == Drop()
    planned_anew = {"spec": ReplicaSpec("m", "m", "sim")}
    assert act(S.STOPPED) == Move(S.PENDING, "wanted again", planned_anew)


def test_a_lost_replica_is_tried_again_after_a_pause():
    assert act(S.LOST, since=AT - 59) is None
    assert act(S.LOST, since=AT - 60) == Move(S.STOPPING, "tries again to end it")


def test_a_static_replica_is_probed_and_drained_but_never_started_or_stopped():
    assert act(S.PENDING, launcher="static").state is S.LOADING
    assert act(S.PENDING, launcher="static", desired=Desired.FORGET).state is S.STOPPED
    assert act(S.LOADING, launcher="static", since=0.0) is None
    assert act(S.UNHEALTHY, launcher="static", since=0.0) is None
    for state in (S.LOADING, S.READY, S.UNHEALTHY):
        assert act(state, launcher="static", desired=Desired.STOP).state is S.DRAINING
    assert act(S.DRAINING, launcher="static", leases=1) is None
    assert act(S.DRAINING, launcher="static").state is S.STOPPED
    assert act(S.STOPPED, launcher="static").state is S.PENDING


records = st.builds(
    record,
    st.sampled_from(S),
    since=st.floats(AT - 5000, AT),
    desired=st.sampled_from(Desired),
    launcher=st.sampled_from(["sim", "static"]),
    attempt=st.integers(0, 6),
    drain_deadline=st.none() | st.floats(AT - 100, AT + 100),
)
facts = st.builds(
    Facts, st.just(AT), st.integers(0, 2), st.sampled_from([None, DIED, HOPELESS])
)


@given(it=records, facts=facts)
def test_every_decision_is_a_legal_move(it, facts):
    action = decide(it, facts, RULES)
    move = action.move if isinstance(action, Fail) else action
    if isinstance(move, Move):
        assert move.state in TRANSITIONS[it.state]
        assert move.reason
