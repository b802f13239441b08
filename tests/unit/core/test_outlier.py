import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.outcome import AttemptOutcome
from gateway.core.outlier import _OF_OUTCOMES, Cause, Failures, Sign, pause_s, sign_of
from gateway.core.snapshot import Ejection

ANSWERED, SOFT, HARD, NONE = Sign.ANSWERED, Sign.SOFT, Sign.HARD, Sign.NONE
ROW_ALONE = Ejection(failure_share=1.0, over_requests=10**6)


def ended(failures, *signs):
    """Note each sign; return what the last one made of the replica."""
    found = None
    for sign in signs:
        found = failures.note(sign, AttemptOutcome.BROKEN)
    return found


def cause(*signs, rules=ROW_ALONE):
    found = ended(Failures(rules), *signs)
    return found and found[0]


def test_every_end_of_an_attempt_has_a_sign():
    assert set(_OF_OUTCOMES) == set(AttemptOutcome)


@pytest.mark.parametrize(
    ("failure", "sign"),
    [
        (errors.UpstreamConnectFailed, HARD),
        (errors.UpstreamDisconnected, HARD),
        (errors.UpstreamProtocolError, HARD),
        (errors.UpstreamTimeout, HARD),
        (errors.UpstreamStalled, HARD),
        (errors.UpstreamError, SOFT),  # a 5xx, and the engine's own 400
        (errors.DeadlineExceeded, SOFT),
        (errors.AnswerTooLong, NONE),
        (errors.ReplicaBusy, NONE),
        (errors.ClientDeadlinePassed, NONE),
        (errors.InvalidRequest, ANSWERED),
        (errors.RouteMissing, ANSWERED),
        (errors.ContextLengthExceeded, ANSWERED),
        (errors.GatewayInternal, NONE),
        (errors.ShuttingDown, NONE),
    ],
)
def test_what_an_attempt_that_failed_says_of_its_replica(failure, sign):
    assert sign_of(failure("x")) is sign


def test_no_failure_of_the_gateway_or_the_client_is_held_against_a_replica():
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, GatewayError):
            if kind.source is errors.Source.REPLICA or kind is errors.MethodNotAllowed:
                continue
            assert sign_of(kind("x")) in {ANSWERED, NONE}


def test_three_hard_failures_in_a_row_or_five_soft_ones_are_enough():
    assert cause(HARD, HARD) is None
    assert cause(HARD, HARD, HARD) is Cause.CONSECUTIVE
    assert cause(*[SOFT] * 4) is None
    assert cause(*[SOFT] * 5) is Cause.CONSECUTIVE
    assert cause(HARD, HARD, SOFT) is None
    assert cause(HARD, HARD, SOFT, SOFT) is Cause.CONSECUTIVE


def test_an_answer_ends_the_row_and_what_says_nothing_does_not():
    assert cause(HARD, HARD, ANSWERED, HARD, HARD) is None
    assert cause(HARD, NONE, HARD, NONE, NONE, HARD) is Cause.CONSECUTIVE
    assert cause(*[NONE] * 1000) is None


def test_a_share_of_the_last_attempts_is_enough_once_there_were_so_many():
    rules = Ejection(consecutive=100, failure_share=0.5, over_requests=4)
    assert cause(HARD, HARD, SOFT, rules=rules) is None
    assert cause(HARD, ANSWERED, ANSWERED, HARD, rules=rules) is Cause.FAILURE_SHARE
    assert cause(HARD, ANSWERED, ANSWERED, ANSWERED, HARD, rules=rules) is None
    assert cause(HARD, HARD, ANSWERED, ANSWERED, rules=rules) is None  # not as one is answered


def test_people_are_told_why():
    assert ended(Failures(ROW_ALONE), HARD, HARD, HARD) == (
        Cause.CONSECUTIVE,
        "3 failures in a row, the last: broken",
    )
    rules = Ejection(consecutive=100, failure_share=0.5, over_requests=2)
    assert ended(Failures(rules), ANSWERED, HARD) == (
        Cause.FAILURE_SHARE,
        "1 of the last 2 requests failed, the last: broken",
    )


@given(
    signs=st.lists(st.sampled_from(Sign), max_size=60),
    consecutive=st.integers(1, 6),
    over=st.integers(1, 12),
    share=st.floats(0, 1),
)
def test_it_judges_as_the_words_of_the_configuration_say(signs, consecutive, over, share):
    rules = Ejection(consecutive=consecutive, over_requests=over, failure_share=share)
    failures, told = Failures(rules), []
    for sign in signs:
        found = failures.note(sign, AttemptOutcome.BROKEN)
        told += [sign] if sign is not NONE else []
        bad = [each in {HARD, SOFT} for each in told]
        if sign not in {HARD, SOFT}:
            assert found is None
            continue
        row = told[len(bad) - bad[::-1].index(False) :] if False in bad else told
        weight = row.count(HARD) + 0.6 * row.count(SOFT)
        window = bad[-over:]
        if weight >= consecutive - 1e-9:
            assert found[0] is Cause.CONSECUTIVE
        elif len(window) == over and sum(window) >= share * over:
            assert found[0] is Cause.FAILURE_SHARE
        else:
            assert found is None


def test_each_ejection_is_twice_as_long_up_to_the_longest():
    rules = Ejection(base_s=5, max_s=300)
    assert [pause_s(rules, n) for n in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert pause_s(rules, 10**6) == 300
