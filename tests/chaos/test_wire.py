"""What bytes of an answer have shown."""

import pytest

from tests.chaos.answers import EVENTS, HEAD, LAST, STREAMED, WHOLE, event, framed
from tests.chaos.wire import Message, NotHttp, Shown, shown


def test_each_byte_more_shows_as_much_or_more():
    seen = [shown(STREAMED[:at]) for at in range(len(STREAMED) + 1)]
    content = [each.content for each in seen]
    assert content == sorted(content)
    assert seen[0] == Shown()
    assert seen[-1] == Shown(2, whole=True)
    done_at = STREAMED.index(b"[DONE]\n\n") + len(b"[DONE]\n\n")
    assert not seen[done_at - 1].whole
    assert seen[done_at].whole, "what comes after it says nothing"


@pytest.mark.parametrize(
    ("wrong", "content"),
    [
        (framed(event("a"), b"data: {\n\n", event("b")), 1),
        (framed(event("a"), b'data: {"choices":7}\n\n', event("b")), 1),
        (framed(event("a"), b'data: {"error":{}}\n\n', event("b")), 1),
        (framed(event("a"), b"\xe4ata: x\n\n", event("b")), 1),
        (framed(event("a"), b'data: "\xff"\n\n', event("b")), 1),
        (framed(event("a")) + b"\xb1\r\n" + framed(event("b")), 1),
        (b"x\r\n", 0),
    ],
)
def test_nothing_counts_after_the_first_fault(wrong, content):
    assert shown(HEAD + wrong + framed(*EVENTS) + LAST) == Shown(content)


def test_done_without_a_finish_reason_is_not_whole():
    assert shown(HEAD + framed(event("a"), EVENTS[-1]) + LAST) == Shown(1)


def test_an_answer_that_is_not_streamed_is_nothing_until_it_is_whole():
    assert [shown(WHOLE[:at]) for at in range(len(WHOLE))] == [Shown()] * len(WHOLE)
    assert shown(WHOLE) == Shown(0, whole=True)
    assert not shown(WHOLE.replace(b'"choices"', b'"\xe3hoices"')).whole
    assert not shown(WHOLE.replace(b"200", b"500")).whole


@pytest.mark.parametrize("raw", [STREAMED, WHOLE])
def test_an_answer_is_finished_at_its_last_byte(raw):
    assert not Message(raw[:-1]).finished
    assert Message(raw).finished


def test_pieces_are_the_data_of_chunks():
    message = Message(STREAMED)
    assert [STREAMED[start:end] for start, end in message.pieces] == [*EVENTS]
    assert message.body == b"".join(EVENTS)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1", b"nonsense 200 x\r\n", b"HTTP/1.1 \xb200 x"])
def test_what_has_no_status_line_has_no_status(raw):
    with pytest.raises(NotHttp):
        assert Message(raw).status
