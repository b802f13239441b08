"""A chat's chunks become a message whose blocks are opened and closed in turn."""

import json

from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.dialects import DIALECTS
from backends.simulator.frames import RUNNING, ChatFrames, Ending, Stamp, Usage, encode
from backends.simulator.message_events import MessageEvents, usage_of
from backends.simulator.outbox import Outbox

MAIN = DIALECTS["main"]
FRAMES = ChatFrames(Stamp(MAIN, encode("m"), "7", 0, lambda: "0", lambda: 0.0))
texts = st.text(max_size=4)
pieces = st.lists(st.tuples(texts, texts, st.integers(0, 3)), max_size=10)


def play(pieces, ending=RUNNING, *, finish=True):
    outbox = Outbox()
    events = MessageEvents(outbox, "msg_1")
    events.put(FRAMES.role(0, Usage(5, 0, 2)))
    for text, thought, tokens in pieces:
        delta = FRAMES.content(text, thought)
        events.put(FRAMES.chunk(0, delta, ending, 1.0, None, Usage(5, 1, 2)), tokens)
    if finish:
        events.finish()
    return events, outbox.frames


def values(frames):
    read = []
    for frame in frames:
        name, data = frame.body.decode().strip("\n").split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        read.append(value)
    return read


@given(pieces)
def test_deltas_stand_inside_a_block_of_their_kind(pieces):
    _, frames = play(pieces)
    open_block, index = None, -1
    for event in values(frames)[1:-2]:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_block is None
            open_block, index = event["content_block"]["type"], index + 1
        elif kind == "content_block_stop":
            open_block = None
        else:
            assert event["delta"]["type"] == f"{open_block}_delta"
        assert event["index"] == index
    assert open_block is None


@given(pieces)
def test_nothing_is_lost_and_nothing_empty_is_said(pieces):
    _, frames = play(pieces)
    deltas = [e["delta"] for e in values(frames) if e["type"] == "content_block_delta"]
    assert all(d.get("text", d.get("thinking")) for d in deltas)
    said = "".join(d.get("thinking", "") + d.get("text", "") for d in deltas)
    assert said == "".join(thought + text for text, thought, _ in pieces)
    assert sum(f.tokens for f in frames) == sum(tokens for *_, tokens in pieces)
    assert [f.closing for f in frames] == [False] * (len(frames) - 1) + [True]


def test_a_failure_closes_what_is_open_before_it_tells():
    for pieces, expected in (
        ([], ["error"]),
        ([("a", "", 1)], ["content_block_stop", "error"]),
    ):
        events, _ = play(pieces, finish=False)
        told = events.failure().decode().strip("\n").split("\n\n")
        assert [e.split("\n")[0].removeprefix("event: ") for e in told] == expected


def test_a_matched_stop_string_is_named_and_a_stop_token_is_not():
    for reason, delta in (
        ("END", {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
        (7, {"stop_reason": "end_turn"}),
    ):
        _, frames = play([("a", "", 1)], Ending("stop", reason))
        assert values(frames)[-2]["delta"] == delta


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_usage_adds_up_to_the_prompt(new, cached, completion):
    counts = usage_of(Usage(new + cached, completion, cached).fields(MAIN))
    assert counts["input_tokens"] + counts.get("cache_read_input_tokens", 0) == new + cached
    assert counts["output_tokens"] == completion
    assert ("cache_read_input_tokens" in counts) is (cached > 0)
