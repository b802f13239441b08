"""Text is found and changed wherever an event or a reply has it, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.frame_text import change_frame, change_reply, falsified

EVENTS = {
    "chat": {"choices": [{"index": 0, "delta": {"content": "TEXT"}, "finish_reason": "stop"}]},
    "completion": {"choices": [{"index": 0, "text": "TEXT", "finish_reason": "stop"}]},
    "response": {"type": "response.output_text.delta", "delta": "TEXT", "output_index": 0},
    "message": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "TEXT"}},
    "call": {"type": "content_block_delta", "delta": {"partial_json": "{}"}},
}
REPLIES = {
    "chat": {"choices": [{"message": {"role": "assistant", "content": "TEXT"}}]},
    "completion": {"choices": [{"text": "TEXT"}]},
    "response": {"output": [{"type": "function_call"}, {"content": [{"text": "TEXT"}]}]},
    "message": {"content": [{"type": "text", "text": "TEXT"}, {"type": "tool_use"}]},
    "embedding": {"data": [{"embedding": [1.0]}]},
}


def frame_of(event, head=b""):
    return head + b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


@pytest.mark.parametrize("head", [b"", b"event: x\n"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_events_text_is_changed_and_its_name_kept(event, head):
    changed = change_frame(frame_of(event, head), lambda _: "NEW")
    assert changed == frame_of(event, head).replace(b"TEXT", b"NEW")
    assert change_frame(frame_of(event, head), lambda text: text) == frame_of(event, head)


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_an_event_that_is_not_the_end_has_no_finish_reason(kind):
    changed = change_frame(frame_of(EVENTS[kind]), lambda text: text, end=False)
    assert b'"stop"' not in changed


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_replys_text_is_changed(reply):
    body = json.dumps(reply, separators=(",", ":")).encode()
    assert change_reply(body, lambda _: "NEW") == body.replace(b"TEXT", b"NEW")


@given(st.text(st.characters(max_codepoint=127), min_size=1))
def test_a_falsified_text_is_another_one_of_the_same_length(text):
    assert len(falsified(text)) == len(text)
    assert falsified(text) != text or text.startswith("#")
