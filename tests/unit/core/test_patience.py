import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    AnswerTooLong,
    ClientDeadlinePassed,
    DeadlineExceeded,
    Source,
    UpstreamStalled,
    UpstreamTimeout,
)
from gateway.core.patience import Patience
from gateway.core.snapshot import Timeouts

LIMITS = Timeouts(
    first_token_s=60,
    first_token_per_1k_tokens_s=0.5,
    between_tokens_s=30,
    total_s=600,
    total_unstreamed_s=290,
    header_commit_s=10,
    ping_s=15,
)


def patience(*, stream=True, prompt_bytes=0, started_at=100.0, at=100.0, client_s=None):
    return Patience(
        LIMITS,
        stream=stream,
        prompt_bytes=prompt_bytes,
        started_at=started_at,
        at=at,
        client_s=client_s,
    )


def test_a_long_prompt_may_take_longer_to_its_first_token():
    assert patience().first_token_at == 160
    assert patience(prompt_bytes=400_000).first_token_at == 160 + 50


def test_an_answer_that_is_not_streamed_may_take_its_whole_time():
    waiting = patience(stream=False)
    assert waiting.first_token_at == waiting.until_first() == 390


def test_a_later_attempt_has_its_own_first_token_and_the_same_end():
    assert patience(at=150.0).first_token_at == 210
    assert patience(at=690.0).first_token_at == 700


def test_the_client_gets_signs_of_life_in_time_and_never_in_bursts():
    waiting = patience(at=155.0)  # a second attempt, long after the first sign was due
    assert waiting.until_first() == 110
    waiting.pinged(155.0)
    assert waiting.until_first() == 170
    waiting.pinged(170.5)
    assert waiting.until_first() == 185.5


def test_between_tokens_the_wait_ends_with_the_request_at_the_latest():
    assert patience().until_next(200.0) == 230
    assert patience().until_next(690.0) == 700


@pytest.mark.parametrize(
    ("at", "started", "kind", "says"),
    [
        (159.0, False, None, ""),
        (160.0, False, UpstreamTimeout, "no token within 60 s"),
        (230.0, True, UpstreamStalled, "nothing for 30 s"),
        (700.0, True, AnswerTooLong, "longer than the 600 s"),
        (700.0, False, DeadlineExceeded, "longer than the 600 s"),
    ],
)
def test_what_is_reported_when_waiting_was_in_vain(at, started, kind, says):
    fault = patience().fault(at, started=started)
    assert (None if fault is None else type(fault)) is kind
    assert says in str(fault or "")


def test_no_other_replica_is_tried_when_the_time_of_the_request_is_over():
    assert not patience(stream=False).fault(390.0, started=False).retryable
    assert patience().fault(160.0, started=False).retryable


@given(st.floats(0, 1e4), st.integers(0, 10**7), st.booleans(), st.floats(0, 1e4))
def test_every_limit_that_ran_out_has_a_fault(age, prompt_bytes, stream, late):
    waiting = patience(stream=stream, prompt_bytes=prompt_bytes, at=100.0 + age)
    assert waiting.first_token_at <= 100.0 + LIMITS.total_s
    assert waiting.fault(waiting.first_token_at + late, started=False) is not None


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_waits_less_long_is_told_before_it_hangs_up(stream):
    waiting = patience(stream=stream, client_s=8.0, at=102.0)
    assert waiting.first_token_at == 107.6
    assert waiting.fault(107.5, started=False) is None
    passed = waiting.fault(107.6, started=False)
    assert isinstance(passed, ClientDeadlinePassed)
    assert (passed.source, passed.retryable) == (Source.GATEWAY, False)
    assert "within the 8 s that the client waits" in str(passed)


def test_what_is_left_for_the_answer_to_reach_it_is_little_however_long_it_waits():
    assert patience(client_s=50.0).first_token_at == 149.5


def test_one_that_waits_longer_changes_nothing():
    assert patience(client_s=500.0).first_token_at == 160
    assert patience(stream=False, client_s=500.0).first_token_at == 390


def test_a_stream_that_has_begun_is_not_ended_by_it():
    streaming = patience(client_s=8.0)
    assert streaming.until_next(150.0) == 180
    assert streaming.fault(150.0, started=True).code == "upstream_stalled"
