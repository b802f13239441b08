import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.chunks import read
from gateway.core.errors import UpstreamError
from gateway.core.likeness import learn, whole_chunk
from gateway.core.operation import CHAT, COMPLETIONS
from gateway.core.stream import AnswerStream
from tests.unit.core.transcripts import chat, completion, identity

HEAD = '{"id":"%s","object":"%s","created":1754294810,"model":"m","choices":[{"index":0,'
KIND = "chat.completion.chunk"
ERAS = {
    "1.0": (KIND, '"delta":{"content":%s,"tool_calls":[]}}]}'),
    "1.1": (
        KIND,
        '"delta":{"content":%s,"reasoning_content":"","tool_calls":[]},"n_per_iter":1.0}]}',
    ),
    "main": (
        KIND,
        '"delta":{"content":%s,"reasoning_content":""},"avg_decoded_tokens_per_iter":1.0}]}',
    ),
    "reasoning": (KIND, '"delta":{"content":"","reasoning_content":%s}}]}'),
    "completion": (
        "text_completion",
        '"text":%s,"token_ids":null,"logprobs":null,"finish_reason":null}],"usage":null}',
    ),
}
PLAIN = json.dumps(" the")


def event(era, text=PLAIN, answer_id="chatcmpl-7"):
    """``text`` is JSON."""
    kind, rest = ERAS[era]
    return b"data: " + (HEAD % (answer_id, kind) + rest % text).encode() + b"\n\n"


def framed(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_of(era, *texts):
    """An answer that has begun with ``texts``."""
    ask, operation = (completion, COMPLETIONS) if era == "completion" else (chat, CHAT)
    stream = AnswerStream(ask(b',"stream":true'), identity(operation))
    for at, text in enumerate(texts or (PLAIN, PLAIN)):
        stream.feed(event(era, text), float(at))
    return stream


def reframed(stream, raw, at=2.0):
    """Give a chunk to the quick way."""
    chunk = stream.likeness.reframed(raw) if stream.likeness else None
    if chunk is not None:
        stream.meter.more(at)
    return chunk


def taken(stream, raw, at):
    """Give a chunk to the quick way, and to the full one if that leaves it."""
    chunk = reframed(stream, raw, at)
    if chunk is not None:
        return chunk
    shown = stream.feed(raw[raw.index(b"\r\n") + 2 : -2], at)
    return framed(shown) if shown else b""


texts = st.text().flatmap(
    lambda text: st.sampled_from([json.dumps(text), json.dumps(text, ensure_ascii=False)])
)
ids = st.sampled_from(
    ["chatcmpl-7", "chatcmpl-8", "chatcmpl-" + "a1" * 16, "cmpl-7", "", "a\\n"]
)


@pytest.mark.parametrize("era", ERAS)
def test_the_second_event_of_a_stream_is_enough_to_know_the_next_by(era):
    stream = stream_of(era)
    for text in (
        PLAIN,
        '"x"',
        '"a much longer piece of text"',
        json.dumps("ä", ensure_ascii=False),
    ):
        assert reframed(stream, framed(event(era, text)), 2.0) is not None


@pytest.mark.parametrize("era", ERAS)
@given(rest=st.lists(st.tuples(texts, ids), max_size=6))
def test_the_quick_way_says_to_the_byte_what_the_full_one_says(era, rest):
    quick, full = stream_of(era), stream_of(era)
    for at, (text, answer_id) in enumerate(rest, start=2):
        data = event(era, text, answer_id)
        shown = full.feed(data, float(at))
        assert taken(quick, framed(data), float(at)) == (framed(shown) if shown else b"")
    assert quick.meter.gaps_s == full.meter.gaps_s
    assert quick.meter.events == full.meter.events


@given(
    era=st.sampled_from(sorted(ERAS)),
    text=texts,
    at=st.integers(0, 400),
    put=st.binary(max_size=3),
    cut=st.integers(0, 3),
)
def test_whatever_else_comes_is_left_or_means_the_same(era, text, at, put, cut):
    whole = framed(event(era, text))
    raw = whole[:at] + put + whole[at + cut :]
    stream = stream_of(era)
    chunk = reframed(stream, raw, 5.0)
    if chunk is not None:
        head, _, data = raw.partition(b"\r\n")
        assert int(head, 16) == len(data) - 2
        assert chunk == framed(stream_of(era).feed(data[:-2], 5.0))


def test_an_id_that_changes_with_each_event_is_no_obstacle():
    stream = stream_of("1.0")
    for number in range(20):
        raw = framed(event("1.0", PLAIN, f"chatcmpl-{number:032x}"))
        chunk = reframed(stream, raw, 2.0)
        assert chunk is not None
        assert b"chatcmpl-7" not in chunk
    assert stream.meter.events == 22


def test_an_id_of_another_length_does_not_move_the_text_of_chunks_as_long():
    quick, full = stream_of("1.1"), stream_of("1.1")
    for text, answer_id in [('"a"', "chatcmpl-77"), ('"ab"', "chatcmpl-7")] * 3:
        data = event("1.1", text, answer_id)
        assert taken(quick, framed(data), 2.0) == framed(full.feed(data, 2.0))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"0\r\n\r\n",
        framed(event("1.1"))[:-1],
        framed(event("1.1"))[:-2] + b"\n\n",
        framed(event("1.1")) * 2,
        b"0" + framed(event("1.1")),
        b"ffff\r\n" + event("1.1") + b"\r\n",
        framed(b"data: [DONE]\n\n"),
        framed(event("1.1", '""')),
        framed(event("1.1", '"a\\n"')),
        framed(event("1.1", "null")),
        framed(event("1.1").replace(b"}]}", b'},"finish_reason":"stop"}]}')),
        framed(event("1.1").replace(b"1754294810", b"1754294811")),
        framed(event("1.1").replace(b'"chatcmpl-7"', b'"chatcmpl-\\u0061"')),
        framed(event("1.1").replace(b" the", b" \xff")),
        framed(event("1.1").replace(b" the", b" \x01")),
    ],
)
def test_a_chunk_of_another_kind_is_left(raw):
    assert reframed(stream_of("1.1"), raw) is None


@pytest.mark.parametrize(
    "odd",
    [
        event("1.1").replace(b"data: ", b"data:"),
        event("1.1")[:-2] + b"\r\n\r\n",
        event("1.1", '"a\\n"'),
        event("1.1", '""'),
        event("1.1").replace(b"}]}", b'},{"index":0}]}'),
        event("1.1").replace(b'"index":0', b'"index":0,"finish_reason":"stop"'),
        # The text that counts is another than the one that looks like it.
        event("1.1").replace(b'"index":0', b'"index":0,"delta":{"content":"x"}'),
        event("1.1").replace(b'"index":0', b'"content":"x","index":0'),
        event("1.1").replace(b"data: {", b'data: {"x":1,'),
    ],
)
def test_an_event_that_others_may_not_be_like_teaches_nothing(odd):
    payload = odd[5:].strip()
    try:
        chunk = read(payload)
    except UpstreamError:
        chunk = read(event("1.1")[6:-2])
    assert learn(odd, chunk, odd) is None


def test_a_stream_whose_events_are_never_alike_is_soon_no_longer_learned_from():
    stream = stream_of("1.1")
    before = None
    for number in range(20):
        data = event("1.1").replace(b"1754294810", b"%d" % number)
        assert reframed(stream, framed(data), 2.0) is None
        stream.feed(data, 2.0)
        before, last = stream.likeness, before
    assert before is last


@pytest.mark.parametrize(
    ("raw", "end"),
    [
        (b"3\r\nabc\r\n", 8),
        (b"3\r\nabc\r\n3\r\n", 8),
        (b"3\r\nabc\r", 0),
        (b"\r\nabc\r\n", 0),
        (b"3;x\r\nabc\r\n", 0),
        (b"xyz\r\nabc\r\n", 0),
        (b"", 0),
    ],
)
def test_a_whole_chunk_ends_where_its_size_says(raw, end):
    assert whole_chunk(raw, 0) == end


def test_lengths_that_no_chunk_has_are_those_of_none():
    likeness = stream_of("1.1").likeness
    for length in range(1, 600):
        assert likeness.reframed(b'"' * length) is None
        assert likeness.reframed(b"x" * length) is None


def test_a_stream_of_many_lengths_is_still_known():
    stream = stream_of("1.1")
    for length in range(1, 200):
        raw = framed(event("1.1", '"%s"' % ("y" * length)))
        assert reframed(stream, raw) is not None


def test_an_event_with_broken_text_teaches_nothing():
    odd = event("1.1").replace(b" the", b" \xff")
    assert learn(odd, read(event("1.1")[6:-2]), odd) is None


def test_an_event_that_is_no_json_teaches_nothing():
    odd = event("1.1").replace(b"}]}", b"}}}")
    assert learn(odd, read(event("1.1")[6:-2]), odd) is None


def keyed(text, order):
    """An event with its keys in any order."""
    fields = {
        "id": "chatcmpl-7", "object": KIND, "created": 1, "model": "theirs",
        "choices": [{"index": 0, "delta": {"content": text}}],
    }  # fmt: skip
    said = json.dumps({name: fields[name] for name in order}, separators=(",", ":"))
    return b"data: %b\n\n" % said.encode()


@given(order=st.permutations(["object", "created", "model", "choices"]))
def test_the_order_of_keys_does_not_matter(order):
    quick, full = stream_of("1.1", PLAIN), stream_of("1.1", PLAIN)
    for at, text in enumerate([" a", " b", " c", " dd", " e"]):
        data = keyed(text, ["id", *order])
        assert taken(quick, framed(data), float(at)) == framed(full.feed(data, float(at)))


@pytest.mark.parametrize("named", ["text", "reasoning"])
def test_a_text_that_does_not_count_is_not_counted(named):
    """A chat's chunk has its text in ``delta``; the same name beside it says nothing."""
    quick, full = stream_of("1.1", PLAIN), stream_of("1.1", PLAIN)
    for at, text in enumerate([" a", " b", " c"]):
        choice = {"index": 0, named: text, "delta": {"content": ""}}
        data = b"data: " + (HEAD % ("chatcmpl-7", KIND)).encode()
        data += json.dumps(choice, separators=(",", ":")).encode()[len('{"index":0,') :]
        data += b"]}\n\n"
        assert taken(quick, framed(data), float(at)) == framed(full.feed(data, float(at)))
    assert quick.meter.events == full.meter.events == 1
