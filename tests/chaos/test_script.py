"""What is made of an answer: every fault, at every place of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.answers import EVENTS, STREAMED, WHOLE
from tests.chaos.faults import KINDS, By, Injection
from tests.chaos.script import End, Pause, Send, perform
from tests.chaos.wire import LAST_CHUNK, Message, shown

KINDS_OF_PROXY = [kind for kind in KINDS.values() if kind.by is By.PROXY]
PLACE = st.floats(0, 1, exclude_max=True)
SEED = st.integers(0, 2**32 - 1)
ANSWER = st.sampled_from([STREAMED, WHOLE])


def sent(steps):
    return b"".join(step.data for step in steps if isinstance(step, Send))


def steps_of(kind, raw=STREAMED, place=0.5, seed=1):
    return perform(Injection(kind, place, seed), raw)


@pytest.mark.parametrize("kind", KINDS_OF_PROXY, ids=lambda kind: kind.name)
@settings(deadline=None)
@given(raw=ANSWER, place=PLACE, seed=SEED)
def test_a_fault_either_breaks_an_answer_or_lets_all_of_it_through(kind, raw, place, seed):
    steps = steps_of(kind.name, raw, place, seed)
    assert steps == steps_of(kind.name, raw, place, seed), "a seed replays it"
    assert [step for step in steps if isinstance(step, End)] == steps[-1:]
    if kind.breaks:
        assert sent(steps) != raw
    else:
        assert sent(steps).startswith(raw)
        assert shown(sent(steps)[: len(raw)]).whole


@settings(deadline=None)
@given(place=PLACE, seed=SEED)
@pytest.mark.parametrize("kind", ["reset", "half_close", "hole"])
def test_a_cut_leaves_a_true_beginning(kind, place, seed):
    cut = sent(steps_of(kind, place=place, seed=seed))
    assert cut == STREAMED[: int(place * len(STREAMED))]


@settings(deadline=None)
@given(raw=ANSWER, place=PLACE, seed=SEED)
def test_a_clean_end_is_well_formed_and_early(raw, place, seed):
    ended = Message(sent(steps_of("clean_end", raw, place, seed)))
    assert ended.finished
    assert ended.chunked is Message(raw).chunked
    assert Message(raw).body.startswith(ended.body)
    assert len(ended.body) < len(Message(raw).body)


@settings(deadline=None)
@given(raw=ANSWER, place=PLACE, seed=SEED)
def test_a_flipped_byte_is_one_byte_and_no_text_any_more(raw, place, seed):
    flipped = sent(steps_of("flip", raw, place, seed))
    differing = [(a, b) for a, b in zip(raw, flipped, strict=True) if a != b]
    assert [a ^ b for a, b in differing] == [0x80]
    with pytest.raises(UnicodeDecodeError):
        Message(flipped).body.decode()


@settings(deadline=None)
@given(raw=ANSWER, place=PLACE, seed=SEED)
@pytest.mark.parametrize("kind", ["framing", "garbage"])
def test_what_is_damaged_is_never_whole(kind, raw, place, seed):
    damaged = shown(sent(steps_of(kind, raw, place, seed)))
    # Behind [DONE] nothing matters any more.
    assert not damaged.whole or (kind, raw, place > 0.7) == ("garbage", STREAMED, True)
    assert damaged.content <= shown(raw).content


def test_slices_are_bytes():
    assert {len(step.data) for step in steps_of("slices") if isinstance(step, Send)} == {1}


@pytest.mark.parametrize("kind", ["latency", "throttle"])
def test_what_is_slow_waits(kind):
    assert any(isinstance(step, Pause) and step.s > 0 for step in steps_of(kind))


def test_garbage_stands_between_events():
    body = Message(sent(steps_of("garbage", place=0.3))).body
    first, second = b"".join(EVENTS[:2]), b"".join(EVENTS[2:])
    assert body.startswith(first)
    assert body.endswith(second)
    assert len(body) > len(first + second)


def test_what_is_not_asked_for_comes_in_the_same_packet_as_the_end():
    *_, last, end = steps_of("excess")
    assert end is End.KEEP
    assert LAST_CHUNK + b"HTTP/1.1 200 OK" in last.data
