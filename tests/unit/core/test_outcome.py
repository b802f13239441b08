import pytest

from gateway.core.outcome import RequestFacts


def facts(**known):
    return RequestFacts(started_at=10.0, operation="chat", **known)


STREAMED = {"first_content_at": 10.5, "last_content_at": 12.5, "ended_at": 12.75}


def test_the_times_of_a_stream():
    done = facts(**STREAMED, output_tokens=5)
    assert (done.ttft_s, done.generation_s, done.e2e_s) == (0.5, 2.0, 2.5)
    assert done.tpot_s == 0.5
    assert done.ttft_s + done.generation_s == done.e2e_s


def test_the_times_of_what_was_not_streamed():
    done = facts(ended_at=13.0, output_tokens=5)
    assert (done.ttft_s, done.generation_s, done.tpot_s, done.e2e_s) == (None, None, None, 3.0)


def test_the_tokens_of_several_choices_come_at_the_same_time():
    done = facts(**STREAMED, output_tokens=10, choices=2)
    assert done.tpot_s == pytest.approx(2.0 / 8 * 2)


@pytest.mark.parametrize("output_tokens", [None, 0, 1])
def test_under_two_tokens_there_is_no_time_per_token(output_tokens):
    assert facts(**STREAMED, output_tokens=output_tokens).tpot_s is None
