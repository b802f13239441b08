from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamProtocolError
from gateway.core.sse import DAMAGED, DONE, SseReader

payload = st.binary(min_size=1, max_size=30).filter(lambda b: not set(b) & set(b"\r\n"))
events = st.lists(payload.filter(lambda b: b.strip(b" ")))
line_end = st.sampled_from([b"\n", b"\r\n"])


def pieces(data, wire):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)))))
    return [wire[a:b] for a, b in pairwise([0, *cuts, len(wire)])]


@given(events=events, end=line_end, data=st.data())
def test_cutting_the_stream_anywhere_gives_the_same_events(events, end, data):
    wire = b"".join(b"data: " + e + end + end for e in [*events, DONE])
    reader = SseReader()
    got = [e for piece in pieces(data, wire) for e in reader.feed(piece)]
    assert got == [e.strip(b" ") for e in events] + [DONE]


@given(wire=st.text(alphabet="data: x\r\n", max_size=60).map(str.encode), data=st.data())
def test_any_bytes_cut_anywhere_give_the_same_events(wire, data):
    reader = SseReader()
    assert [e for piece in pieces(data, wire) for e in reader.feed(piece)] == SseReader().feed(
        wire
    )


@pytest.mark.parametrize(
    ("wire", "payloads"),
    [
        (b"data: x \n\n", [b"x"]),  # trtllm-serve's role chunk
        (b"data:x\n\n", [b"x"]),
        (b"data: x\n", []),
        (b": ping\n\ndata: x\n\n", [b"x"]),
        (b"event: e\nid: 1\ndata: x\nretry: 5\n\n", [b"x"]),
        (b": note\r\ndata: x\r\n\r\n", [b"x"]),
        (b"\n\n\ndata: x\n\n", [b"x"]),
        (b"data:\n\ndata: \n\n", []),
        (b'data: {"a":\ndata: 1}\n\n', [b'{"a":\t1}']),  # one line, fit to be sent on
        (b"data\ndata: x\ndata:\n\n", [b"x"]),
        (b"data: x\ry\n\n", [DAMAGED]),
        (b'data: {"a":1\r}\n\n', [DAMAGED]),  # the client's line would end there
        (b": note\rdata: x\n\ndata: y\n\n", [DAMAGED, b"y"]),  # and another begin
        (b"data: x\r\r\n\n", [DAMAGED]),
        (b"data: x\r\n\r\r\ndata: y\n\n", [b"x", DAMAGED, b"y"]),
        (b"datax: x\n\n", [DAMAGED]),
        (b"garbage\n\n", [DAMAGED]),
        (b"\xe4ata: x\n\ndata: y\n\n", [DAMAGED, b"y"]),
        (b"data: x\n\x8adata: y\n\ndata: z\n\n", [DAMAGED, b"z"]),  # a line end was lost
    ],
)
def test_the_payload_of_each_form_of_event(wire, payloads):
    assert SseReader().feed(wire) == payloads


def test_a_line_end_that_got_into_a_string_is_not_mended():
    (payload,) = SseReader().feed(b'data: {"a":"b\ndata: c"}\n\n')
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(payload)


def test_a_line_is_looked_through_once_however_long_it_is():
    reader = SseReader()
    pieces = [b"data: ", *[b"x" * 7] * 1000]
    for piece in pieces:
        assert reader.feed(piece) == []
    assert reader._tail == pieces  # not joined, so not copied
    assert reader.feed(b"\n\ndata: y") == [b"x" * 7000]
    assert reader.unfinished


def test_an_event_that_never_ends_is_refused():
    reader = SseReader(max_event=10)
    assert reader.feed(b"data: 1234") == []
    with pytest.raises(UpstreamProtocolError, match="event of over 10 bytes"):
        reader.feed(b"5")
