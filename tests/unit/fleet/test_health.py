import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.replica import TRANSITIONS
from backends.replica import ReplicaState as S
from gateway.fleet.health import PROBED, ProbeOutcome, ProbeResult, judge, names_model
from gateway.fleet.settings import ProbeSettings

OK = ProbeResult(ProbeOutcome.OK)
LATE = ProbeResult(ProbeOutcome.TIMEOUT, "no answer")
WRONG = ProbeResult(ProbeOutcome.WRONG_MODEL, "it serves b, not a")


def verdict(state, result, failures=0, *, trial=False):
    judged = judge(state, "before", failures, result, 3, trial=trial)
    return judged.state, judged.reason, judged.failures


def test_a_replica_that_answers_and_generates_is_ready():
    assert verdict(S.LOADING, OK, 9) == (S.READY, "answers and generates", 0)
    assert verdict(S.UNHEALTHY, OK, 9) == (S.READY, "answers and generates", 0)
    assert verdict(S.READY, OK, 2) == (S.READY, "before", 0)


def test_loading_is_no_failure_however_long_it_lasts():
    assert verdict(S.LOADING, LATE, 500) == (S.LOADING, "no answer", 501)


@pytest.mark.parametrize("state", [S.READY, S.EJECTED])
def test_only_failures_in_a_row_make_a_serving_replica_unhealthy(state):
    assert verdict(state, LATE, 0) == (state, "before", 1)
    assert verdict(state, LATE, 1) == (state, "before", 2)
    assert verdict(state, LATE, 2) == (S.UNHEALTHY, "no answer", 3)
    assert verdict(S.UNHEALTHY, LATE, 3) == (S.UNHEALTHY, "no answer", 4)


@pytest.mark.parametrize("state", sorted(PROBED))
def test_another_model_takes_a_replica_out_at_once(state):
    assert verdict(state, WRONG) == (S.UNHEALTHY, "it serves b, not a", 1)


def test_a_probe_does_not_undo_what_requests_showed_but_a_trial_does():
    assert verdict(S.EJECTED, OK, 1) == (S.EJECTED, "before", 0)
    assert verdict(S.EJECTED, OK, 1, trial=True) == (S.READY, "answers and generates", 0)


def test_three_failed_trials_in_a_row_prove_that_it_is_unhealthy():
    assert verdict(S.EJECTED, LATE, 1, trial=True) == (
        S.EJECTED,
        "failed its trial: no answer",
        2,
    )
    assert verdict(S.EJECTED, LATE, 2, trial=True) == (S.UNHEALTHY, "no answer", 3)
    assert verdict(S.EJECTED, WRONG, trial=True) == (S.UNHEALTHY, "it serves b, not a", 1)


@given(
    state=st.sampled_from(sorted(PROBED)),
    outcome=st.sampled_from(ProbeOutcome),
    failures=st.integers(0, 5),
    trial=st.booleans(),
)
def test_every_verdict_is_a_legal_move(state, outcome, failures, trial):
    trial = trial and state is S.EJECTED
    judged = judge(state, "", failures, ProbeResult(outcome), 3, trial=trial)
    assert judged.state == state or judged.state in TRANSITIONS[state]


@pytest.mark.parametrize(
    ("reported", "source", "same"),
    [
        ("nvidia/Llama", "nvidia/Llama", True),
        ("Llama", "nvidia/Llama", False),  # a repository is reported whole
        ("Llama", "/models/nvidia/Llama/", True),
        ("Llama", "./Llama", True),
        ("Llama-2", "/models/Llama", False),
        ("", "/", True),
    ],
)
def test_a_directory_is_reported_by_its_last_part(reported, source, same):
    assert names_model(reported, source) is same


def test_a_ready_replica_is_asked_for_its_model_at_least_every_minute_or_is_out():
    """However slow its health is: what times out says nothing of the model, and soon ejects."""
    settings = ProbeSettings()
    longest_probe_s = 2 * settings.timeout_s  # its health, then its model
    pause_s = settings.ready_s * (1 + settings.jitter_share)
    assert settings.failures * (longest_probe_s + pause_s) < 60
