"""Plans say beforehand what decoding then shows, piece by piece."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.sequences import (
    THINK_END,
    Sampling,
    SequenceDecoder,
    plan_sequence,
)
from backends.simulator.text import EOS, detokenize, find_break, natural_length, tokenize

PROMPT = tuple(tokenize("Once upon a time"))
prompts = st.lists(st.integers(0, 100_000), min_size=1, max_size=8).map(tuple)
samplings = st.builds(
    Sampling,
    max_tokens=st.integers(1, 300),
    seed=st.integers(0, 50),
    ignore_eos=st.booleans(),
    min_tokens=st.integers(0, 50),
    reasoning=st.booleans(),
)


def decode(plan, cuts=()):
    decoder, pieces, left = SequenceDecoder(plan), [], plan.ends_after
    for cut in cuts:
        size = min(cut, left)
        if size:
            left -= size
            pieces.append(decoder.feed(size, last=left == 0))
    if left:
        pieces.append(decoder.feed(left, last=True))
    return pieces


@given(prompts, samplings)
def test_a_plan_has_as_many_tokens_as_it_says_and_never_too_many(prompt, sampling):
    plan = plan_sequence(prompt, 0, sampling)
    tokens = list(plan.tokens())
    assert len(tokens) == plan.ends_after <= sampling.max_tokens
    assert (EOS in tokens) is (plan.finish_reason == "stop")
    assert EOS not in tokens[:-1]


@given(prompts, samplings, st.lists(st.integers(1, 20), max_size=30))
def test_pieces_add_up_to_the_same_text_however_the_tokens_come(prompt, sampling, cuts):
    plan = plan_sequence(prompt, 0, sampling)
    (whole,) = decode(plan)
    pieces = decode(plan, cuts)
    assert "".join(p.text for p in pieces) == whole.text
    assert [t for p in pieces for t in p.token_ids] == list(whole.token_ids)


def test_text_that_may_end_ends_at_its_natural_length():
    plan = plan_sequence(PROMPT, 0, Sampling(max_tokens=10_000))
    assert plan.ends_after == natural_length(PROMPT)
    assert plan.finish_reason == "stop"
    assert find_break(decode(plan)[0].text) is None


def test_ignoring_the_end_goes_on_to_the_limit():
    plan = plan_sequence(PROMPT, 0, Sampling(max_tokens=10_000, ignore_eos=True))
    assert (plan.ends_after, plan.finish_reason) == (10_000, "length")


def test_thoughts_come_first_and_their_end_is_hidden():
    plan = plan_sequence(PROMPT, 0, Sampling(max_tokens=10_000, reasoning=True))
    plain = plan_sequence(PROMPT, 0, Sampling(max_tokens=10_000))
    (piece,) = decode(plan)
    assert piece.text == decode(plain)[0].text
    assert piece.reasoning
    assert detokenize(THINK_END) not in piece.text + piece.reasoning
    hidden = plan.ends_after - plain.ends_after - plan.reasoning_tokens
    assert hidden == len(THINK_END)


def test_an_answer_cut_in_its_thoughts_has_no_text():
    plan = plan_sequence(PROMPT, 0, Sampling(max_tokens=3, reasoning=True))
    pieces = decode(plan, [1, 1, 1])
    assert "".join(p.text for p in pieces) == ""
    assert all(p.reasoning for p in pieces)


def test_a_script_is_said_to_the_letter():
    script = tuple(tokenize('{"a": 1}'))
    plan = plan_sequence(PROMPT, 0, Sampling(max_tokens=100, script=script))
    assert decode(plan)[0].text == '{"a": 1}'
    assert plan.finish_reason == "stop"


@pytest.mark.parametrize("include", [False, True])
def test_the_first_of_several_stop_strings_wins(include):
    free = decode(plan_sequence(PROMPT, 0, Sampling(max_tokens=60, ignore_eos=True)))[0].text
    early, late = free[30:33], free[80:84]
    sampling = Sampling(
        max_tokens=60, ignore_eos=True, stop=(late, early, ""), include_stop=include
    )
    plan = plan_sequence(PROMPT, 0, sampling)
    expected = free[: free.find(early)] + (early if include else "")
    for cuts in ((), [1] * 60):
        assert "".join(p.text for p in decode(plan, cuts)) == expected
    assert plan.stop_reason == early


def test_stop_strings_before_min_tokens_do_not_count():
    free = decode(plan_sequence(PROMPT, 0, Sampling(max_tokens=60, ignore_eos=True)))[0].text
    sampling = Sampling(max_tokens=60, ignore_eos=True, stop=(free[4:8],), min_tokens=20)
    assert plan_sequence(PROMPT, 0, sampling).ends_after >= 20


def test_looking_for_a_stop_far_ahead_takes_no_time_worth_speaking_of():
    sampling = Sampling(max_tokens=50_000, ignore_eos=True, stop=("no such text",))
    assert plan_sequence(PROMPT, 0, sampling).ends_after == 50_000


@pytest.mark.parametrize("include", [False, True])
def test_a_stop_token_is_shown_only_when_asked(include):
    free = plan_sequence(PROMPT, 0, Sampling(max_tokens=60, ignore_eos=True))
    ids = list(free.tokens())
    sampling = Sampling(
        max_tokens=60, ignore_eos=True, stop_token_ids=(ids[9],), include_stop=include
    )
    plan = plan_sequence(PROMPT, 0, sampling)
    assert plan.ends_after == ids.index(ids[9]) + 1
    shown = ids[: plan.ends_after - (not include)]
    assert decode(plan)[0].text == detokenize(shown)


def test_a_stop_that_never_comes_changes_nothing():
    sampling = Sampling(max_tokens=20, ignore_eos=True, stop=("no such text",))
    plan = plan_sequence(PROMPT, 0, sampling)
    assert (plan.ends_after, plan.finish_reason, plan.stop_reason) == (20, "length", None)
