"""Faults of the two endpoints whose streams are typed events, and of their heads."""

import json

import pytest

from tests.wire.bodies import MESSAGES, RESPONSES, kinds, message, response, typed_events
from tests.wire.serving import eventually, read_to_end, unchunked

LAST_CHUNK = b"0\r\n\r\n"
ENDPOINTS = {
    RESPONSES: (
        response(max_output_tokens=8),
        "response.output_text.delta",
        "response.completed",
    ),
    MESSAGES: (message(max_tokens=8), "content_block_delta", "message_stop"),
}
typed = pytest.mark.parametrize("path", ENDPOINTS)


@pytest.fixture
def served(simulator):
    return simulator(dialect="main")


def stream(served, path, *faults):
    served.arm(*faults)
    body, delta, last = ENDPOINTS[path]
    return served.raw(path, body | {"stream": True}), delta.encode(), last


def whole_stream(served, path, *faults):
    client, delta, last = stream(served, path, *faults)
    raw = read_to_end(client)
    assert raw.endswith(LAST_CHUNK)
    return unchunked(raw), delta, last


def deltas_in(raw, delta):
    return raw.count(b"event: " + delta + b"\n")


def said(events):
    texts = [e["delta"] for e in events if e["type"].endswith("delta")]
    return "".join(t if isinstance(t, str) else t.get("text", "") for t in texts)


def reply_text(reply):
    items = reply.get("output", [reply])
    return "".join(part["text"] for item in items for part in item["content"])


@typed
def test_without_a_fault_the_stream_is_whole(served, path):
    body, delta, last = whole_stream(served, path)
    assert kinds(typed_events(body))[-1] == last
    assert deltas_in(body, delta) == 8


@typed
def test_a_cut_stream_ends_in_a_reset_after_its_tokens(served, path):
    client, delta, _ = stream(served, path, {"kind": "cut", "after_tokens": 3})
    raw = read_to_end(client)
    assert raw.endswith(b"RST")
    assert deltas_in(raw, delta) == 3


@typed
def test_a_stream_cut_at_a_byte_has_exactly_that_many(served, path):
    client, _, _ = stream(served, path, {"kind": "cut", "at_byte": 250})
    assert len(unchunked(read_to_end(client))) == 250


@typed
def test_an_early_end_is_clean_but_lacks_the_last_event(served, path):
    body, delta, last = whole_stream(served, path, {"kind": "end_early", "after_tokens": 3})
    assert deltas_in(body, delta) == 3
    assert last not in kinds(typed_events(body))


@typed
def test_half_an_event_ends_a_clean_stream(served, path):
    body, _, _ = whole_stream(served, path, {"kind": "half_event", "after_tokens": 2})
    assert not body.endswith(b"\n\n")


@typed
def test_garbage_is_one_event_and_the_stream_goes_on(served, path):
    body, delta, last = whole_stream(served, path, {"kind": "garbage", "after_tokens": 2})
    payloads = [event.partition(b"data: ")[2] for event in body.split(b"\n\n")[:-1]]
    broken = [p for p in payloads if not _is_json(p)]
    assert len(broken) == 1
    assert json.loads(payloads[-1])["type"] == last
    assert deltas_in(body, delta) == 9


def _is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@typed
def test_the_last_event_comes_twice_or_not_at_all(served, path):
    body, _, last = whole_stream(served, path, {"kind": "double_done"})
    assert [e["type"] for e in typed_events(body)][-2:] == [last, last]
    body, delta, last = whole_stream(served, path, {"kind": "no_done"})
    assert last not in kinds(typed_events(body))
    assert deltas_in(body, delta) == 8


@typed
def test_empty_deltas_come_between_the_others(served, path):
    events = typed_events(whole_stream(served, path, {"kind": "empty_chunks"})[0])
    empty = [e for e in events if e["type"].endswith("_delta") or e["type"].endswith(".delta")]
    texts = [
        e["delta"] if isinstance(e["delta"], str) else e["delta"].get("text") for e in empty
    ]
    assert texts.count("") == 8


@typed
def test_a_changed_token_falsifies_the_text_streamed_or_whole(served, path):
    clean = said(typed_events(whole_stream(served, path)[0]))
    fault = {"kind": "changed_token", "after_tokens": 2}
    changed = said(typed_events(whole_stream(served, path, fault)[0]))
    assert changed != clean
    assert changed.lower() == clean.lower()
    reply = served.post(path, ENDPOINTS[path][0])
    assert reply_text(reply.json) == clean.swapcase()


@typed
def test_a_long_line_is_as_long_as_asked(served, path):
    fault = {"kind": "long_line", "after_tokens": 1, "at_byte": 100_000}
    body, _, _ = whole_stream(served, path, fault)
    assert max(map(len, body.split(b"\n"))) > 100_000


@typed
def test_a_stall_lasts_until_the_client_leaves(served, path):
    client, delta, _ = stream(served, path, {"kind": "stall", "after_tokens": 2})
    seen = b""
    while deltas_in(seen, delta) < 2:
        seen += client.recv(65536)
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.close()
    eventually(lambda: served.entries()[-1]["closed_at"], "the close was seen")


def test_an_error_inside_the_engine_cuts_a_response_without_a_word(served):
    client, delta, _ = stream(served, RESPONSES, {"kind": "engine_error", "after_tokens": 2})
    raw = read_to_end(client)
    assert deltas_in(raw, delta) == 2
    assert not raw.endswith(LAST_CHUNK)
    assert b"event: error" not in raw


def test_an_error_inside_the_engine_is_told_in_a_message(served):
    fault = {"kind": "engine_error", "after_tokens": 2}
    body, delta, _ = whole_stream(served, MESSAGES, fault)
    assert deltas_in(body, delta) == 2
    stop, error = typed_events(body)[-2:]
    assert stop == {"type": "content_block_stop", "index": 0}
    assert error == {
        "type": "error",
        "error": {"type": "api_error", "message": "Internal server error"},
    }


@typed
def test_an_error_inside_the_engine_is_a_400_before_a_whole_answer(served, path):
    served.arm({"kind": "engine_error"})
    reply = served.post(path, ENDPOINTS[path][0])
    assert reply.status == 400
    assert reply.json["type"] == ("error" if path == MESSAGES else "BadRequestError")


@typed
def test_whole_answers_are_cut_or_garbled(served, path):
    body = ENDPOINTS[path][0]
    served.arm({"kind": "cut"})
    raw = read_to_end(served.raw(path, body))
    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert raw.endswith(b"RST")
    served.arm({"kind": "garbage"})
    assert not _is_json(served.post(path, body).body)


@typed
def test_faults_before_the_head_have_the_endpoints_own_shape(served, path):
    body = ENDPOINTS[path][0]
    served.arm({"kind": "internal_error"})
    refused = served.post(path, body)
    served.arm({"kind": "http_error", "code": 503})
    failed = served.post(path, body)
    assert (refused.status, failed.status) == (400, 503)
    if path == MESSAGES:
        assert "CUDA" in refused.json["error"]["message"]
        assert failed.json["error"]["type"] == "api_error"
    else:
        assert "CUDA" in refused.json["message"]
        assert failed.json["type"] == "InternalError"
