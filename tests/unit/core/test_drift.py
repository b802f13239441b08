from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.replica import ReplicaId
from gateway.core.drift import TOKENS, Figures, GoldenAnswer, compare, outvoted

TEXT = tuple("abcdefghijklmnop")
OTHER = tuple("qrstuvwxyzQRSTUV")
SURE = tuple(-0.1 * n for n in range(TOKENS))


def answer(tokens=TEXT, logprobs=SURE):
    return GoldenAnswer(tuple(tokens), tuple(logprobs[: len(tokens)]))


def found(*answers):
    """Compare replicas a, b, ... that gave these answers to one prompt each."""
    named = {ReplicaId(chr(97 + n)): [each] for n, each in enumerate(answers)}
    return compare(named)


def lower(by):
    return answer(logprobs=[p - by for p in SURE])


def test_replicas_that_answer_alike_agree_in_all():
    figures = found(answer(), answer(), answer())
    assert set(figures.values()) == {Figures(1.0, 0.0)}
    assert not Figures(1.0, 0.0).drifts


def test_of_two_nobody_can_say_which_is_right():
    assert found(answer(), answer(OTHER)) == {}


def test_one_that_says_something_else_drifts_and_its_siblings_do_not():
    figures = found(answer(), answer(), answer(OTHER))
    assert [each.agreement for each in figures.values()] == [1.0, 1.0, 0.0]
    assert outvoted(figures) == {"c"}


@pytest.mark.parametrize(("same", "drifts"), [(7, True), (8, False)])
def test_half_of_the_tokens_are_enough(same, drifts):
    figures = found(answer(), answer(), answer(TEXT[:same] + OTHER[same:]))
    assert figures["c"].agreement == same / TOKENS
    assert outvoted(figures) == ({"c"} if drifts else set())


@pytest.mark.parametrize(("by", "drifts"), [(0.45, False), (0.55, True)])
def test_one_that_is_less_sure_of_the_same_words_drifts(by, drifts):
    figures = found(answer(), lower(by), answer())
    assert figures["b"] == Figures(1.0, pytest.approx(by))
    assert [figures[each].difference for each in "ac"] == [0.0, 0.0]
    assert outvoted(figures) == ({"b"} if drifts else set())


def test_one_that_is_surer_drifts_too():
    assert found(answer(), lower(-1.0), answer(), answer())["b"].difference == pytest.approx(1)


def test_log_probabilities_are_compared_only_as_far_as_the_texts_agree():
    parted = answer(TEXT[:9] + OTHER[9:], (*SURE[:9], *[-9.0] * 7))
    assert found(answer(), answer(), parted)["c"] == Figures(9 / TOKENS, 0.0)


def test_texts_that_never_agree_have_no_difference():
    assert found(answer(OTHER), answer(), answer())["a"] == Figures(0.0, 0.0)


def test_a_shorter_answer_agrees_in_less():
    figures = found(answer(), answer(), answer(TEXT[:4]))
    assert figures["c"].agreement == 4 / TOKENS
    assert figures["a"].agreement == 1.0


def test_empty_answers_to_nothing_agree():
    nothing = GoldenAnswer((), ())
    assert found(nothing, nothing, nothing)["a"] == Figures(1.0, 0.0)


def test_halves_that_contradict_each_other_blame_nobody():
    figures = found(answer(), answer(), answer(OTHER), answer(OTHER))
    assert all(each.drifts for each in figures.values())
    assert outvoted(figures) == set()


def test_all_prompts_are_counted_together():
    named = {ReplicaId(n): [answer(), answer()] for n in "abc"}
    named[ReplicaId("c")] = [answer(), answer(OTHER)]
    assert compare(named)["c"].agreement == 0.5


words = st.lists(st.sampled_from("abc"), max_size=TOKENS)
golden = words.flatmap(
    lambda tokens: st.lists(st.floats(-50, 0), min_size=len(tokens), max_size=len(tokens)).map(
        lambda logprobs: GoldenAnswer(tuple(tokens), tuple(logprobs))
    )
)


@given(st.lists(golden, min_size=3, max_size=6))
def test_figures_are_in_their_range_and_only_a_minority_is_blamed(answers):
    figures = found(*answers)
    assert len(figures) == len(answers)
    assert all(
        0 <= each.agreement <= 1 and 0 <= each.difference <= 50 for each in figures.values()
    )
    assert 2 * len(outvoted(figures)) < len(answers)


@given(golden, st.integers(3, 6), st.floats(0, 0.4))
def test_replicas_that_differ_by_less_than_is_allowed_are_never_blamed(same, count, by):
    shifted = replace(same, logprobs=tuple(p - by for p in same.logprobs))
    assert outvoted(found(*[same] * (count - 1), shifted)) == set()


@given(st.lists(golden, min_size=3, max_size=6), st.randoms())
def test_the_order_of_the_replicas_is_all_the_same(answers, rng):
    figures = found(*answers)
    named = {ReplicaId(chr(97 + n)): [each] for n, each in enumerate(answers)}
    order = [*named]
    rng.shuffle(order)
    assert compare({name: named[name] for name in order}) == figures
