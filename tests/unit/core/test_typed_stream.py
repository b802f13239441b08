"""The law of endings, the same for every protocol of typed events."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamDisconnected, UpstreamError, UpstreamProtocolError
from gateway.core.messages import MessageEvents
from gateway.core.responses import ResponseEvents
from gateway.core.sse import MOST_HELD_BYTES
from gateway.core.typed_stream import TypedStream
from tests.unit.core.typed_transcripts import (
    BLOCK,
    ITEM,
    MESSAGE,
    NAMES,
    RESPONSE,
    adds,
    closing,
    event,
    events,
    opening,
    says,
    started,
)

DONE = b"data: [DONE]\n\n"
PROTOCOLS = {"response": (ResponseEvents, RESPONSE), "message": (MessageEvents, MESSAGE)}
START = {"response": opening() + ITEM, "message": started() + BLOCK}
CONTENT = {"response": says("the"), "message": adds(type="text_delta", text="the")}
LAST = {"response": closing(), "message": event("message_stop")}
every = pytest.mark.parametrize("protocol", PROTOCOLS)
either = st.sampled_from(sorted(PROTOCOLS))


def new(protocol):
    return TypedStream(PROTOCOLS[protocol][0](NAMES))


def follow(protocol, wire, cuts=()):
    """Return what the client gets, and the stream."""
    stream = new(protocol)
    out = []
    for at, (start, end) in enumerate(pairwise([0, *sorted(cuts), len(wire)])):
        out.append(stream.feed(wire[start:end], float(at)))
        if stream.failure is not None:
            break
    return out, stream


@every
def test_an_answer_is_followed_to_its_end(protocol):
    sent = PROTOCOLS[protocol][1]
    out, stream = follow(protocol, sent)
    stream.closed()
    assert stream.done
    assert stream.failure is None
    assert [e["type"] for e in events(out)] == [e["type"] for e in events(sent)]
    assert stream.meter.events == 2
    assert stream.usage.prompt_tokens == 9
    assert stream.usage.completion_tokens == 3
    assert stream.usage.total_tokens == 12
    assert stream.usage.cached_tokens == 4
    assert len(stream.finish_reasons) == 1


@given(data=st.data(), protocol=either, crlf=st.booleans())
def test_cutting_the_stream_anywhere_gives_the_client_the_same_bytes(data, protocol, crlf):
    sent = PROTOCOLS[protocol][1]
    wire = sent.replace(b"\n", b"\r\n") if crlf else sent
    out, stream = follow(protocol, wire, data.draw(st.lists(st.integers(0, len(wire)))))
    whole, _ = follow(protocol, sent)
    assert b"".join(out) == b"".join(whole)
    assert stream.done
    for piece in out:  # only whole events go out
        assert piece == b"" or piece.endswith(b"\n\n")


@given(data=st.data(), protocol=either)
def test_nothing_but_the_last_event_completes_an_answer(data, protocol):
    sent = PROTOCOLS[protocol][1]
    end = data.draw(st.integers(0, len(sent)))
    cuts = data.draw(st.lists(st.integers(0, end)))
    out, stream = follow(protocol, sent[:end], cuts)
    assert stream.done is (end == len(sent))
    assert (LAST[protocol].split(b"\n")[0] in b"".join(out)) is stream.done
    if not stream.done:
        with pytest.raises(UpstreamDisconnected, match="ended early"):
            stream.closed()


@every
def test_nothing_goes_out_before_the_first_content(protocol):
    stream = new(protocol)
    assert stream.feed(START[protocol], 1.0) == b""
    assert not stream.started
    out = stream.feed(CONTENT[protocol], 2.0)
    assert stream.started
    assert stream.meter.first_at == 2.0
    assert len(events(out)) == len(events(START[protocol])) + 1
    assert stream.feed(CONTENT[protocol], 4.0) != b""
    assert stream.meter.gaps_s == [2.0]


@every
def test_what_is_held_back_for_the_first_content_is_bounded(protocol):
    stream, more = new(protocol), event("new.kind", text="x" * (1 << 20))
    fed = 0
    with pytest.raises(UpstreamProtocolError, match="too much without any content"):
        while fed <= MOST_HELD_BYTES:
            assert stream.feed(more, 0.0) == b""
            fed += len(more)
    assert MOST_HELD_BYTES - 2 * len(more) < fed


@every
def test_an_answer_without_any_content_is_complete_too(protocol):
    out, stream = follow(protocol, START[protocol] + LAST[protocol])
    assert len(events(out)) == len(events(START[protocol])) + 1
    assert not stream.started
    assert stream.done


def test_the_number_after_the_events_that_went_out_is_known():
    stream = new("response")
    assert stream.next_number == 0
    stream.feed(opening(), 0.0)  # held back: the client has seen nothing
    assert stream.next_number == 0
    stream.feed(event("response.output_text.delta", delta="x", sequence_number=7), 1.0)
    assert stream.next_number == 8
    stream.feed(says("an event without a number"), 2.0)
    assert stream.next_number == 9


@pytest.mark.parametrize("number", [-1, 2**53 + 1, 10**4000])
def test_what_is_no_number_of_an_event_is_refused(number):
    with pytest.raises(UpstreamProtocolError):
        new("response").feed(event("new.kind", sequence_number=number), 0.0)


ERRORS = [
    event("error", message="CUDA", code="x"),
    event("error", error={"message": "CUDA"}),
    b'data: {"error": {"message": "CUDA", "type": "server_error"}}\n\n',
]
NO_EVENTS = [
    b"data: garbage\n\n",
    b"data: {}\n\n",
    b"data: null\n\n",
    b'data: {"type": 7}\n\n',
    b'data: {"type": "a\\nb"}\n\n',
    b'data: {"type": "\\u00e9"}\n\n',
    b'data: {"type": ""}\n\n',
    b'data: {"type": "x", "text": "\xff"}\n\n',
]


@every
@pytest.mark.parametrize("bad", [*ERRORS, *NO_EVENTS, DONE])
def test_a_failure_before_any_content_went_out_hands_out_nothing(protocol, bad):
    stream = new(protocol)
    stream.feed(START[protocol], 0.0)
    with pytest.raises(UpstreamError) as failed:
        stream.feed(CONTENT[protocol] + bad, 1.0)  # in one read: another replica may be tried
    assert failed.value.retryable
    assert "CUDA" not in str(failed.value)


@every
@pytest.mark.parametrize("bad", [*ERRORS, *NO_EVENTS, DONE])
def test_what_came_before_a_failure_still_reaches_the_client(protocol, bad):
    stream = new(protocol)
    stream.feed(START[protocol] + CONTENT[protocol], 0.0)
    out = stream.feed(CONTENT[protocol] + bad + CONTENT[protocol] + LAST[protocol], 1.0)
    assert len(events(out)) == 1
    assert stream.failure is not None
    assert not stream.done


@every
@pytest.mark.parametrize("bad", ERRORS)
def test_a_failure_that_the_replica_reports_is_its_own(protocol, bad):
    with pytest.raises(UpstreamError) as failed:
        follow(protocol, bad)
    assert failed.value.code == "upstream_error"


@every
@pytest.mark.parametrize("bad", NO_EVENTS)
def test_what_is_no_event_is_a_breach_of_the_protocol(protocol, bad):
    with pytest.raises(UpstreamProtocolError):
        follow(protocol, bad)


@every
def test_the_end_of_chunks_is_no_end_of_events(protocol):
    with pytest.raises(UpstreamDisconnected):
        follow(protocol, START[protocol] + DONE)


@every
def test_what_follows_the_end_is_ignored(protocol):
    sent = PROTOCOLS[protocol][1]
    out, stream = follow(protocol, sent + DONE + ERRORS[0] + sent)
    assert b"[DONE]" not in b"".join(out)
    assert len(events(out)) == len(events(sent))
    assert stream.failure is None
    stream.closed()


@every
def test_none_of_the_replicas_own_lines_reaches_the_client(protocol):
    body = b'"type":"new.kind","text":"id: 1\\r\\nevent: error\\n\\ndata: {}"'
    lines = (
        b": comment\nid: 7\nretry: 1\nevent: response.completed\ndata: {\ndata:"
        + body
        + b"\ndata: }\n\n"
    )
    sent = START[protocol] + CONTENT[protocol] + lines + LAST[protocol]
    out, _ = follow(protocol, sent.replace(b"\n\n", b"\n\n: ping\n\n"))
    wire = b"".join(out)
    assert {line.partition(b":")[0] for line in wire.split(b"\n")} == {b"event", b"data", b""}
    assert b"\r" not in wire
    odd = events(out)[-2]
    assert odd == {"type": "new.kind", "text": "id: 1\r\nevent: error\n\ndata: {}"}


@given(protocol=either, first=st.binary(max_size=60), second=st.binary(max_size=60))
def test_garbage_raises_only_faults_of_the_replica(protocol, first, second):
    stream = new(protocol)
    try:
        for at, piece in enumerate((b"data: " + first + b"\n\n", second + b"\n\n")):
            stream.feed(piece, float(at))
        stream.closed()
    except UpstreamError as failed:
        assert failed.status == 502  # noqa: PT017 - garbage may also be no event at all


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
kinds = st.sampled_from(
    [
        "response.created",
        "response.completed",
        "x.delta",
        "message_start",
        "message_stop",
        "ping",
    ]
)
known = st.sampled_from(["delta", "response", "message", "usage", "error", "type"])


@given(protocol=either, kind=kinds, fields=st.dictionaries(known, json_values))
def test_any_json_as_an_event_raises_only_faults_of_the_replica(protocol, kind, fields):
    stream = new(protocol)
    wire = b"data: " + json.dumps({"type": kind} | fields).encode() + b"\n\n"
    try:
        out = stream.feed(wire, 0.0)
    except UpstreamError as failed:
        assert failed.status == 502  # noqa: PT017 - some are events
    else:
        assert len(events(out)) <= 1
