import asyncio
from itertools import pairwise

import httptools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import UpstreamDisconnected, UpstreamProtocolError
from gateway.dataplane.alarm import Alarm
from gateway.dataplane.answer import Answer
from tests.fakes.replica import REPLY, STREAM, chunk, head, reply, stream

pytestmark = pytest.mark.anyio

WIRE = b"HTTP/1.1 100 C\r\n\r\n" + stream("a", "b")


class Transport:
    def __init__(self):
        self.reading = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Carrier:
    """A connection that only notes how it was given back."""

    def __init__(self):
        self.transport = Transport()
        self.given_back = []
        self.alarm = Alarm(asyncio.get_running_loop())

    def release(self, *, reusable):
        self.given_back.append(reusable)


def begin():
    carrier = Carrier()
    return carrier, Answer(carrier, asyncio.get_running_loop(), lambda: 0.0, connect_s=None)


async def drain(answer):
    parts = []
    while (piece := await answer.read(0.0)) is not None:
        parts.append(piece)
    return parts


async def test_each_piece_keeps_the_time_of_its_arrival():
    _, answer = begin()
    answer.feed(STREAM + chunk(b"a") + chunk(b"b"), 1.0)
    answer.feed(chunk(b"c"), 2.0)
    answer.feed(b"0\r\n\r\n", 3.0)
    assert await drain(answer) == [(1.0, b"ab"), (2.0, b"c")]


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(cuts=st.lists(st.integers(0, len(WIRE))))
async def test_an_answer_cut_anywhere_is_the_same(cuts):
    carrier, answer = begin()
    for start, end in pairwise([0, *sorted(cuts), len(WIRE)]):
        if start < end:
            answer.feed(WIRE[start:end], 0.0)
    whole = Answer(carrier, asyncio.get_running_loop(), lambda: 0.0, connect_s=None)
    whole.feed(WIRE, 0.0)
    parts = [[body for _, body in await drain(one)] for one in (answer, whole)]
    assert b"".join(parts[0]) == b"".join(parts[1])
    answer.close()
    assert carrier.given_back == [True]


@pytest.mark.parametrize(
    ("wire", "reusable"),
    [
        (reply(), True),
        (reply(more=b"connection: close\r\n"), False),
        (reply()[:-1], False),
        (head(204), True),
    ],
    ids=["whole", "to be closed", "cut", "without a body"],
)
async def test_only_a_whole_answer_gives_back_a_connection_to_use_again(wire, reusable):
    carrier, answer = begin()
    answer.feed(wire, 0.0)
    if reusable:
        await drain(answer)
    answer.close()
    answer.close()
    assert carrier.given_back == [reusable]


async def test_an_answer_that_was_not_read_whole_is_not_whole():
    carrier, answer = begin()
    answer.feed(reply(), 0.0)
    answer.close()
    assert carrier.given_back == [False]


async def test_bytes_after_the_answer_spoil_the_connection_and_not_the_answer():
    carrier, answer = begin()
    answer.feed(reply(), 0.0)
    answer.feed(b"x", 0.0)
    assert [body for _, body in await drain(answer)] == [REPLY]
    answer.close()
    assert carrier.given_back == [False]


async def test_a_second_answer_in_the_same_read_does_not_hide_the_first():
    _, answer = begin()
    with pytest.raises(httptools.HttpParserCallbackError):
        answer.feed(reply() + reply(), 0.0)
    assert [body for _, body in await drain(answer)] == [REPLY]


async def test_what_arrived_before_a_failure_is_read_before_it():
    _, answer = begin()
    answer.feed(STREAM + chunk(b"a"), 0.0)
    answer.fail(UpstreamDisconnected("first"))
    answer.fail(UpstreamProtocolError("later"))
    assert await answer.read(0.0) == (0.0, b"a")
    with pytest.raises(UpstreamDisconnected, match="first"):
        await answer.read(0.0)


async def test_reading_is_paused_above_the_high_mark_and_goes_on_below_the_low_one():
    carrier, answer = begin()
    answer.feed(STREAM, 0.0)
    piece = b"x" * 8192
    sent = 0
    while carrier.transport.reading:
        answer.feed(chunk(piece), float(sent))
        sent += 1
    assert sent == 9  # the first past 64 KiB
    answer.feed(chunk(piece), float(sent))  # what the transport still had
    left = sent + 1
    while not carrier.transport.reading:
        await answer.read(0.0)
        left -= 1
    assert left == 2  # 16 KiB


async def test_a_waiter_is_woken_by_whatever_comes_first():
    _, answer = begin()
    loop = asyncio.get_running_loop()
    loop.call_soon(answer.feed, STREAM, 0.0)
    await answer.head(loop.time() + 20)
    loop.call_soon(answer.fail, UpstreamDisconnected("gone"))
    with pytest.raises(UpstreamDisconnected):
        await answer.read(loop.time() + 20)


async def test_an_earlier_limit_replaces_a_later_one():
    _, answer = begin()
    loop = asyncio.get_running_loop()
    loop.call_soon(answer.feed, STREAM, 0.0)
    await answer.head(loop.time() + 1000)
    with pytest.raises(TimeoutError):
        await answer.read(loop.time() + 0.01)
    answer.close()
