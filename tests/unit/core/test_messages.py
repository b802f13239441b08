import json

import pytest

from gateway.core.errors import UpstreamProtocolError
from gateway.core.messages import MessageEvents, read_message
from gateway.core.typed_stream import TypedStream
from tests.unit.core.typed_transcripts import (
    BLOCK,
    MESSAGE,
    NAMES,
    adds,
    event,
    events,
    message,
    started,
)


def follow(wire):
    stream = TypedStream(MessageEvents(NAMES))
    return stream.feed(wire, 0.0), stream


def whole(**changes):
    return read_message(json.dumps(message(**changes)).encode(), NAMES)


def test_only_the_models_name_is_changed():
    out, stream = follow(MESSAGE)
    got, sent = events(out), events(MESSAGE)
    assert got[0]["message"].pop("model") == "alias"
    assert sent[0]["message"].pop("model") == "source"
    assert got == sent
    assert stream.finish_reasons == ("end_turn",)


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "text_delta", "text": "x"},
        {"type": "thinking_delta", "thinking": "x"},
        {"type": "input_json_delta", "partial_json": "{"},
    ],
)
def test_every_kind_of_delta_is_content(delta):
    _, stream = follow(started() + BLOCK + adds(**delta))
    assert stream.meter.events == 1


@pytest.mark.parametrize(
    "empty",
    [adds(type="text_delta", text=""), event("ping"), BLOCK, event("content_block_stop")],
)
def test_an_event_without_new_text_is_no_content(empty):
    out, stream = follow(started() + empty)
    assert out == b""
    assert not stream.started


def test_counts_may_come_at_the_end_alone():
    end = event(
        "message_delta", delta={"stop_reason": "max_tokens"}, usage={"output_tokens": 3}
    )
    _, stream = follow(started(usage=None) + end + event("message_stop"))
    assert stream.usage is None  # how long the prompt was is not known
    _, stream = follow(started(usage={"input_tokens": 9}) + end + event("message_stop"))
    assert stream.usage.total_tokens == 12
    assert stream.usage.cached_tokens is None
    assert stream.finish_reasons == ("max_tokens",)


def test_a_whole_message_goes_by_the_clients_name_of_the_model():
    read = whole(
        usage={"input_tokens": 2, "cache_creation_input_tokens": 7, "output_tokens": 3}
    )
    shown = json.loads(read.body)
    assert shown.pop("model") == "alias"
    assert shown["content"] == message()["content"]
    assert read.finish_reasons == ("end_turn",)
    assert (read.usage.prompt_tokens, read.usage.completion_tokens) == (9, 3)
    assert whole(usage=None).usage is None


@pytest.mark.parametrize(
    "changes", [{"stop_reason": None}, {"content": None}, {"content": "x"}, {"model": None}]
)
def test_what_is_no_finished_message_is_a_breach_of_the_protocol(changes):
    with pytest.raises(UpstreamProtocolError):
        whole(**changes)
    with pytest.raises(UpstreamProtocolError):
        read_message(b'{"type":"error","error":{"type":"api_error","message":"x"}}', NAMES)
