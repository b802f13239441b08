"""However a replica's bytes are cut into reads and chunks, the client gets the same."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.splicing import CHUNKED, DONE, HEAD, LAST, Splicing, chunk, says

LOOP = asyncio.new_event_loop()
LOOP.close()
"""Nothing here waits."""

USAGE = (
    b'data: {"id":"c","object":"text_completion","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":1,"total_tokens":9,"completion_tokens":8}}\n\n'
)
texts = st.one_of(
    st.sampled_from([" the", " a", "x" * 300, "ä", "\n", '"', "", "data: "]),
    st.text(max_size=8),
)
events = st.lists(
    st.one_of(
        st.builds(says, texts, number=st.integers(7, 9)),
        st.builds(says, texts),
        st.sampled_from([b": ping\n\n", says(" the"), says(" the"), says(" the")]),
    ),
    max_size=14,
).map(lambda some: [says("a"), says("b"), *some, says(" z", finish="stop"), USAGE, DONE])
framings = st.sampled_from([
    chunk,
    lambda data: b"%X\r\n%b\r\n" % (len(data), data),
    lambda data: b"000%x\r\n%b\r\n" % (len(data), data),
    lambda data: b"%x;a=b\r\n%b\r\n" % (len(data), data),
])  # fmt: skip


@st.composite
def chunked_wires(draw):
    """HTTP chunks of one event each, of several, or of any part of the body."""
    said = draw(events)
    match draw(st.sampled_from(["each", "several", "anywhere"])):
        case "each":
            datas = said
        case "several":
            cuts = sorted(draw(st.lists(st.integers(0, len(said)), max_size=4)))
            bounds = [0, *cuts, len(said)]
            datas = [b"".join(said[a:b]) for a, b in pairwise(bounds)]
        case _:
            body = b"".join(said)
            cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=12)))
            datas = [body[a:b] for a, b in pairwise([0, *cuts, len(body)])]
    last = draw(st.sampled_from([LAST, b"0\r\nx-trailer: a\r\n\r\n", b"000\r\n\r\n", b""]))
    framing = draw(framings)
    return CHUNKED, [framing(data) for data in datas if data] + [last], b"".join(said)


@st.composite
def reads_of(draw, chunks):
    """Cut the wire where chunks end, or anywhere, or both."""
    wire = b"".join(chunks)
    ends = [0]
    for each in chunks:
        ends.append(ends[-1] + len(each))
    cuts = {end for end in ends if draw(st.booleans())}
    cuts.update(draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    return [wire[a:b] for a, b in pairwise(sorted({0, *cuts, len(wire)})) if a < b]


def taken(head, reads, *, lane):
    """Return an answer that came in ``reads``."""
    each = Splicing(loop=LOOP, request=b',"stream_options":{"include_usage":true}')
    each.arrive(head)
    each.divert(lane=lane)
    each.arrive(*reads)
    return each


def times(each):
    meter = each.stream.meter
    return meter.first_at, meter.last_at, meter.gaps_s, meter.events


@given(data=st.data(), wire=chunked_wires())
def test_the_client_gets_the_same_and_the_meter_sees_the_same(data, wire):
    head, chunks, said = wire
    reads = data.draw(reads_of(chunks))
    quick, full = taken(head, reads, lane=True), taken(head, reads, lane=False)
    whole = taken(head, [b"".join(chunks)], lane=False)
    assert quick.shown == full.shown == whole.shown
    assert times(quick) == times(full)
    assert quick.stream.meter.events == whole.stream.meter.events
    assert quick.shown.count(b"\n\n") == said.count(b"\n\n") - said.count(b": ping")
    assert quick.line.answer()[2] == quick.shown
    assert (quick.line.answers, quick.client.finished) == (1, True)
    assert quick.answer.failure is full.answer.failure is None
    assert len(quick.firsts) == 1


@given(data=st.data(), said=events, framing=st.sampled_from(["length", "close"]))
def test_so_it_does_where_the_body_is_not_in_chunks(data, said, framing):
    body = b"".join(said)
    head = HEAD % (b"content-length: %d\r\n" % len(body) if framing == "length" else b"")
    reads = data.draw(reads_of(said))
    quick, whole = taken(head, reads, lane=True), taken(head, [body], lane=False)
    assert quick.shown == whole.shown
    assert quick.line.answer()[2] == quick.shown
    assert quick.answer.complete == (framing == "length")


def test_most_tokens_are_not_read_in_full():
    """Else all the above would prove nothing of the lane."""
    fed = []
    each = Splicing(loop=LOOP)
    each.arrive(CHUNKED)
    each.divert()
    feed = each.answer.feed
    each.connection._answer = Recording(feed, fed)
    each.arrive(*[chunk(says(text)) for text in ("a", "b", "c", " d", "\n", "e", "f")])
    each.arrive(chunk(says("g")) + chunk(says("h")) + chunk(says("i"))[:-3])
    each.arrive(chunk(says("i"))[-3:], chunk(says("j")))
    assert each.text == "abc d\nefghij"
    assert (
        fed
        == [
            chunk(says("a")),  # begins
            chunk(says("b")),  # is learned from
            chunk(says("\n")),  # no plain text
            chunk(says("i"))[:-3],
            chunk(says("i"))[-3:],
        ]
    )


class Recording:
    """Stands for an answer, and notes what it is given to read."""

    def __init__(self, feed, fed):
        self._feed, self._fed = feed, fed

    def feed(self, data, at):
        self._fed.append(data)
        self._feed(data, at)


@pytest.mark.parametrize(
    "garbage", [chunk(says("x")), b"zz\r\n", LAST + b"HTTP/1.1 200 OK\r\n"]
)
@pytest.mark.parametrize("apart", [True, False])
def test_garbage_after_the_end_is_not_shown_and_does_not_spoil_the_answer(garbage, apart):
    end = chunk(says("c", finish="stop")) + chunk(DONE)
    each = taken(CHUNKED, [chunk(says("a")), chunk(says("b"))], lane=True)
    each.arrive(*([end, garbage] if apart else [end + garbage]))
    each.arrive(*([] if each.replica.aborted else [chunk(says("y"))]))
    assert each.text == "abc"
    assert each.line.answers == 1
    each.answer.close()
    assert each.replica.kept == 0


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"data: {\n\n"),
        chunk(b'data: {"error":"x"}\n\n'),
        chunk(says("x").replace(b'"index":0', b'"index":1')),
        chunk(says("x").replace(b"x", b"\xff")),
    ],
    ids=["JSON", "error", "choice", "UTF-8"],
)
@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_what_follows_a_failure_is_not_shown(broken, before):
    """It arrives before the frame that serves the client runs again."""
    each = taken(CHUNKED, [chunk(says(text)) for text in before], lane=True)
    each.arrive(broken, chunk(says("d")), chunk(says("e")), chunk(says("f")))
    assert each.answer.failure is not None
    assert each.text == before
    assert not each.client.finished
    assert each.client.content_sent == bool(before)


def test_nor_is_what_came_with_one_that_can_be_tried_elsewhere():
    each = taken(CHUNKED, [chunk(says("a")) + chunk(b"data: {\n\n")], lane=True)
    each.arrive(chunk(says("b")), chunk(says("c")))
    assert each.answer.failure is not None
    assert each.line.written == b""


def test_what_came_before_the_client_was_ready_goes_out_first_and_in_order():
    each = Splicing(loop=LOOP)
    said = [chunk(says(text)) for text in ("a", "b", "c")]
    each.arrive(CHUNKED, *said, chunk(says("d"))[:20])
    each.divert()
    assert each.text == "abc"
    each.arrive(chunk(says("d"))[20:], chunk(says("e")))
    assert each.text == "abcde"


def test_half_an_event_that_came_before_is_not_forgotten():
    each = Splicing(loop=LOOP)
    half = says("c")[:-30]
    each.arrive(CHUNKED, chunk(says("a")), chunk(says("b")), chunk(half))
    each.divert()
    each.arrive(chunk(says("x")))
    assert each.text == "ab"
    assert each.answer.failure is not None  # the two halves are no event


def test_an_end_that_came_before_is_the_end():
    each = Splicing(loop=LOOP)
    each.arrive(CHUNKED, chunk(says("a")), chunk(says("b")))
    each.arrive(chunk(says("c", finish="stop")) + chunk(DONE))
    each.divert()
    each.arrive(chunk(says("x")))
    assert each.text == "abc"
    assert each.line.answers == 1


def test_nothing_is_written_once_the_client_is_gone():
    each = taken(CHUNKED, [chunk(says(text)) for text in "abc"], lane=True)
    each.client.lost()
    each.line.lost = True
    each.arrive(chunk(says("d")), chunk(says("e", finish="stop")) + chunk(DONE))
    assert each.text == "abc"
