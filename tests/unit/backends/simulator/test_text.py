import math
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.text import (
    EOS,
    SENTENCE_TOKENS,
    Detokenizer,
    choose_seed,
    detokenize,
    find_break,
    generate,
    natural_length,
    spelling,
    tokenize,
    top_logprobs,
)
from backends.simulator.vocabulary import IDS, TOKENS, WORDS, word_token

ENGLISH = (
    "The quick brown fox jumps over the lazy dog while several engineers discuss how requests "
    "are routed. Nobody expected the results to differ so much from those published last year."
)
any_text = st.text(st.characters(exclude_categories=["Cs"]))
prompts = st.lists(st.integers(0, 128_255), max_size=40)


def generated(prompt, count, seed=0, index=0):
    return list(islice(generate(prompt, seed, index), count))


@given(any_text)
def test_every_text_survives_tokenizing_and_back(text):
    assert detokenize(tokenize(text)) == text


@given(st.text("abcdefgh ABC.,\n0123456789é→😀", max_size=200))
def test_texts_of_words_digits_and_runs_of_blanks_survive_too(text):
    assert detokenize(tokenize(text)) == text


def test_tokens_of_a_text_never_change():
    assert tokenize("The cat sat.\n\nÀ 42") == [
        258,
        1461,
        26541,
        46,
        40429,
        195,
        128,
        32,
        39628,
    ]


def test_english_has_about_four_characters_a_token():
    assert 3.3 < len(ENGLISH) / len(tokenize(ENGLISH)) < 5


def test_a_lone_surrogate_does_not_break_the_tokenizer():
    assert "\ufffd" in detokenize(tokenize("a\ud800b"))


def test_ids_past_the_vocabulary_wrap_around_and_the_end_token_has_no_text():
    assert spelling(len(TOKENS) + 65) == b"A"
    assert detokenize([65, EOS, 66]) == "AB"


def test_no_two_tokens_are_spelt_alike_and_each_word_is_found_under_its_id():
    assert len(IDS) == len(TOKENS)
    for number, word in enumerate(WORDS):
        spaced = TOKENS[word_token(number, capital=False, spaced=True)]
        capital = TOKENS[word_token(number, capital=True, spaced=False)]
        assert (spaced, capital) == (f" {word}".encode(), word.capitalize().encode())


@given(any_text, st.data())
def test_feeding_tokens_in_any_portions_gives_the_whole_text(text, data):
    tokens = tokenize(text)
    detokenizer, parts, start = Detokenizer(), [], 0
    while start < len(tokens):
        size = data.draw(st.integers(1, 4))
        parts.append(detokenizer.feed(tokens[start : start + size]))
        start += size
    assert "".join(parts) + detokenizer.finish() == text


def test_an_incomplete_character_is_held_back_and_flushed_as_a_replacement_mark():
    detokenizer = Detokenizer()
    first, second, third = tokenize("→")
    assert [detokenizer.feed([t]) for t in (first, second, third)] == ["", "", "→"]
    assert detokenizer.feed([first]) == ""
    assert detokenizer.finish() == "\ufffd"


def test_the_seed_is_the_requests_own_or_0_when_greedy_or_random():
    assert choose_seed(7, 1.0, Random(0)) == 7
    assert choose_seed(None, None, Random(0)) == choose_seed(None, 0.0, Random(0)) == 0
    assert choose_seed(None, 0.7, Random(1)) != choose_seed(None, 0.7, Random(2))


@given(prompts, st.integers(0, 2**64), st.integers(0, 15))
def test_generated_text_is_deterministic_whole_and_tokenizes_to_itself(prompt, seed, index):
    tokens = generated(prompt, 150, seed, index)
    assert generated(prompt, 150, seed, index) == tokens
    text = detokenize(tokens)
    assert tokenize(text) == tokens
    assert find_break(text) is None


def test_the_text_of_a_prompt_never_changes():
    assert detokenize(generated([1, 2, 3], 16)) == (
        "Since plan server table honey must teach same weigh us cook as send but drop."
    )
    assert natural_length([1, 2, 3]) == 144


def test_prompt_seed_and_index_each_change_the_text():
    texts = [
        generated([1, 2], 20),
        generated([1, 3], 20),
        generated([1, 2], 20, seed=1),
        generated([1, 2], 20, index=1),
    ]
    assert len({tuple(t) for t in texts}) == 4


@given(prompts, st.integers(1, 140), st.sampled_from(["lost", "doubled", "changed"]))
def test_one_lost_doubled_or_changed_token_is_found(prompt, at, damage):
    tokens = generated(prompt, 160)
    if damage == "lost":
        broken = tokens[:at] + tokens[at + 1 :]
    elif damage == "doubled":
        broken = tokens[: at + 1] + tokens[at:]
    else:
        other = word_token(0, capital=False, spaced=True)
        broken = [*tokens[:at], other + 4 * (tokens[at] == other), *tokens[at + 1 :]]
    found = find_break(detokenize(broken))
    assert found is not None


@given(prompts, st.integers(0, 120))
def test_a_text_cut_anywhere_is_whole_so_far(prompt, count):
    assert find_break(detokenize(generated(prompt, count))) is None


def test_text_of_another_kind_breaks_at_once():
    assert find_break("lower case start") == 0
    assert find_break("The 12 of them") == 1
    assert find_break("Xylophone") == 0


def test_texts_end_by_themselves_at_the_end_of_a_sentence():
    lengths = {natural_length([n]) for n in range(200)}
    assert all(n % SENTENCE_TOKENS == 0 for n in lengths)
    assert min(lengths) == 4 * SENTENCE_TOKENS
    assert max(lengths) == 19 * SENTENCE_TOKENS
    assert detokenize(generated([5], natural_length([5]))).endswith(".")


@given(st.integers(0, len(TOKENS) - 1), st.integers(0, 10_000), st.integers(1, 20))
def test_log_probabilities_rank_the_chosen_token_first_and_sum_to_less_than_1(token, at, count):
    ranked = top_logprobs(token, at, count)
    assert ranked == top_logprobs(token, at, count)
    assert ranked[0][0] == token
    assert len({t for t, _ in ranked}) == count
    values = [logprob for _, logprob in ranked]
    assert values == sorted(values, reverse=True)
    assert sum(map(math.exp, values)) < 1.0


def test_no_candidate_is_named_twice_even_when_all_words_are_asked_for():
    token = word_token(0, capital=False, spaced=True)
    ranked = top_logprobs(token, 0, len(WORDS))
    assert {t for t, _ in ranked} == {
        word_token(n, capital=False, spaced=True) for n in range(len(WORDS))
    }


@pytest.mark.parametrize("count", [1, 2])
def test_asking_for_few_log_probabilities_gives_as_many(count):
    assert len(top_logprobs(300, 0, count)) == count
