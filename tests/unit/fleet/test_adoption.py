from random import Random

import pytest

from backends.launcher import Exit, Remedy
from backends.replica import Replica, ReplicaId, ReplicaSpec
from backends.replica import ReplicaState as S
from gateway.fleet.adoption import Leftover, may_have_remains, take_up
from gateway.fleet.decisions import Move, Rules
from gateway.fleet.settings import ReconcileSettings
from gateway.state.store import Desired, ReplicaRecord

AT = 5000.0
RULES = Rules(ReconcileSettings(), Random(1))
FOUND = Replica(ReplicaId("r"), "http://127.0.0.1:9", {"pid": 4})


def record(state, launcher="sim", desired=Desired.RUN):
    spec = ReplicaSpec("m", "m", launcher, argv=("run",))
    return ReplicaRecord(ReplicaId("r"), spec, desired, state, 1.0, handle={"pid": 4})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.STARTING, S.LOADING),  # killed between the launch and its answer
        (S.LOST, S.LOADING),
        (S.LOADING, S.LOADING),
        (S.READY, S.READY),  # workers kept serving it
        (S.UNHEALTHY, S.UNHEALTHY),
        (S.EJECTED, S.EJECTED),
        (S.DRAINING, S.DRAINING),
        (S.STOPPING, S.STOPPING),
    ],
)
def test_what_still_runs_goes_on(before, after):
    move = take_up(record(before), FOUND, None, AT, RULES)
    assert move == Move(
        after,
        "found running after a restart of the gateway",
        {"url": "http://127.0.0.1:9", "handle": {"pid": 4}},
    )


@pytest.mark.parametrize("state", [S.PENDING, S.BACKOFF, S.FAILED, S.STOPPED])
def test_what_runs_but_should_not_is_ended(state):
    assert take_up(record(state), FOUND, None, AT, RULES) == Leftover()


@pytest.mark.parametrize("state", [S.STARTING, S.LOADING, S.READY, S.UNHEALTHY, S.EJECTED])
def test_what_died_while_the_gateway_was_away_starts_again_at_once(state):
    move = take_up(record(state), None, Exit(None, "unknown", "never seen"), AT, RULES)
    assert move == Move(S.BACKOFF, "died while away", {"not_before": AT})
    told = take_up(record(state), None, Exit(9, "killed", "killed by the kernel"), AT, RULES)
    assert told.reason == "died while away: killed by the kernel"


def test_what_cannot_work_is_not_started_again():
    end = Exit(1, "gpu_oom", "too big", Remedy.PERMANENT)
    assert take_up(record(S.READY), None, end, AT, RULES).state is S.FAILED


def test_a_lost_one_that_is_gone_is_stopped():
    assert take_up(record(S.LOST), None, None, AT, RULES).state is S.STOPPING


def test_one_that_failed_is_tried_again_as_if_it_never_had():
    move = take_up(record(S.FAILED), None, None, AT, RULES)
    assert (move.state, move.changes) == (S.PENDING, {"attempt": 0})
    unwanted = record(S.FAILED, desired=Desired.FORGET)
    assert take_up(unwanted, None, None, AT, RULES) is None


@pytest.mark.parametrize("state", [S.PENDING, S.DRAINING, S.STOPPING, S.STOPPED, S.BACKOFF])
def test_what_did_not_run_waits_as_before(state):
    assert take_up(record(state), None, None, AT, RULES) is None


def test_static_replicas_are_left_to_the_prober():
    assert take_up(record(S.READY, launcher="static"), None, None, AT, RULES) is None
    assert not may_have_remains(record(S.PENDING, launcher="static"))
    assert may_have_remains(record(S.BACKOFF))
    assert not may_have_remains(record(S.READY))
