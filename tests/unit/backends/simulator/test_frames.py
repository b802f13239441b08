"""Every hand-written frame is what a JSON serialiser gives for the same fields."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.dialects import DIALECTS
from backends.simulator.frames import (
    RUNNING,
    ChatFrames,
    CompletionFrames,
    Ending,
    Stamp,
    Usage,
    encode,
    error_frame,
)

dialects = st.sampled_from(list(DIALECTS.values()))
texts = st.text(max_size=20)
usages = st.none() | st.builds(Usage, *[st.integers(0, 10**6)] * 3)
endings = st.builds(
    Ending,
    st.sampled_from([None, "stop", "length", "tool_calls"]),
    st.none() | texts | st.integers(0, 200_000),
)
ratios = st.floats(0.1, 8)


def stamp(dialect, model="a model"):
    return Stamp(
        dialect, encode(model), "7", 1754294810, lambda: "0" * 32, lambda: 1754294811.9
    )


def canonical(frame: bytes, end: bytes = b"\n\n") -> bytes:
    """Serialise the frame's value again, compactly, as pydantic and Starlette do."""
    assert frame.startswith(b"data: ")
    assert frame.endswith(end)
    value = json.loads(frame.removeprefix(b"data: "))
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + text.encode() + end


@given(dialects, st.tuples(texts, texts), endings, ratios, usages)
def test_chat_chunks_are_canonical_json(dialect, texts, ending, ratio, usage):
    text, thought = texts
    frames = ChatFrames(stamp(dialect))
    frame = frames.chunk(4, frames.content(text, thought), ending, ratio, None, usage)
    assert canonical(frame) == frame
    choice = json.loads(frame[6:])["choices"][0]
    assert choice["delta"]["content"] == text
    assert choice["index"] == 4
    assert None not in choice.values()


@given(dialects, texts, usages)
def test_role_and_echo_chunks_are_canonical_json_and_a_space(dialect, text, usage):
    frames = ChatFrames(stamp(dialect))
    for frame in (frames.role(0, usage), frames.echo(0, text, usage)):
        assert canonical(frame, b" \n\n") == frame


@given(dialects, st.none() | texts, st.none() | texts, texts)
def test_tool_call_deltas_are_canonical_json(dialect, call_id, name, arguments):
    frames = ChatFrames(stamp(dialect))
    delta = frames.tool_call(call_id or None, name or None, arguments)
    frame = frames.chunk(0, delta, RUNNING, 1.0)
    assert canonical(frame) == frame
    (call,) = json.loads(frame[6:])["choices"][0]["delta"]["tool_calls"]
    assert ("id" in call, "name" in call["function"]) == (bool(call_id), bool(name))


@given(dialects, texts, endings, ratios, usages)
def test_completion_chunks_are_canonical_json_with_all_nulls(
    dialect, text, ending, ratio, usage
):
    frame = CompletionFrames(stamp(dialect)).chunk(0, text, ending, ratio, usage=usage)
    assert canonical(frame) == frame
    value = json.loads(frame[6:])
    assert list(value) == ["id", "object", "created", "model", "choices", "usage"]
    assert list(value["choices"][0])[:6] == [
        "index", "text", "token_ids", "logprobs", "finish_reason", "stop_reason",
    ]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_usage_chunks_have_no_choices_and_the_servers_key_order(dialect):
    for frames in (ChatFrames(stamp(dialect)), CompletionFrames(stamp(dialect))):
        frame = frames.usage(Usage(5, 3, 1))
        assert canonical(frame) == frame
        value = json.loads(frame[6:])
        assert value["choices"] == []
        assert list(value["usage"])[:3] == [
            "prompt_tokens", "total_tokens", "completion_tokens",
        ]  # fmt: skip
        assert ("prompt_tokens_details" in value["usage"]) is dialect.cached_tokens


def test_only_main_keeps_one_id_and_time_for_a_stream():
    for name, (an_id, created) in {
        "1.2": ("chatcmpl-" + "0" * 32, 1754294811),
        "main": ("chatcmpl-7", 1754294810),
    }.items():
        value = json.loads(ChatFrames(stamp(DIALECTS[name])).role(0)[6:])
        assert (value["id"], value["created"]) == (an_id, created)


def test_the_error_event_has_pythons_spaces():
    assert error_frame('a "b"') == (
        b'data: {"error": {"message": "a \\"b\\"", "type": "server_error", "code": null, '
        b'"param": null}}\n\n'
    )
