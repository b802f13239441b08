import asyncio

import pytest

from gateway.core.errors import (
    UpstreamDisconnected,
    UpstreamProtocolError,
)
from tests.fakes.replica import (
    REPLY,
    STREAM,
    Step,
    chunk,
    head,
    reply,
    says,
    settled,
    stream,
)
from tests.unit.dataplane.asking import ask, read_all, upstream_to

pytestmark = pytest.mark.anyio


async def test_two_answers_in_one_read_lose_nothing_of_the_first():
    async with upstream_to([reply() + reply()]) as (upstream, _):
        assert await read_all(await ask(upstream)) == REPLY


@pytest.mark.parametrize(
    "garbage", [b"zz\r\n", b"5\r\nab", b"-1\r\n", b"\x00"], ids=["size", "cut", "minus", "nul"]
)
async def test_what_came_before_broken_framing_can_be_read(garbage):
    async with upstream_to([STREAM + chunk(b"good") + garbage, Step.CLOSE]) as (upstream, _):
        answer = await ask(upstream)
        got = await answer.read(asyncio.get_running_loop().time() + 20)
        assert got[1].startswith(b"good")
        with pytest.raises((UpstreamProtocolError, UpstreamDisconnected)):
            await read_all(answer)


@pytest.mark.parametrize(
    "wire",
    [b"garbage\r\n\r\n", b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nzz"],
    ids=["no http", "upgrade"],
)
async def test_what_is_not_an_http_answer_is_a_protocol_error(wire):
    async with upstream_to([wire, Step.STALL]) as (upstream, replica):
        with pytest.raises(UpstreamProtocolError, match="not valid HTTP"):
            await ask(upstream)
        await settled(lambda: replica.open == 0)


async def test_announcements_before_the_answer_are_passed_over():
    announce = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    async with upstream_to([announce, reply()], [announce + reply()]) as (upstream, replica):
        for _ in range(2):
            answer = await ask(upstream)
            assert answer.status == 200
            assert await read_all(answer) == REPLY
        assert replica.connections == 1


async def test_an_answer_may_come_byte_by_byte():
    wire = b"HTTP/1.1 100 Continue\r\n\r\n" + stream("a", "b")
    script = [wire[i : i + 1] for i in range(len(wire))]
    async with upstream_to(script) as (upstream, replica):
        body = await read_all(await ask(upstream))
        assert body.startswith(says("a"))
        assert body.endswith(b"data: [DONE]\n\n")
        await read_all(await ask(upstream))
        assert replica.connections == 1


async def test_waiting_for_the_head_ends_in_time_and_closes_the_connection():
    async with upstream_to([Step.STALL]) as (upstream, replica):
        with pytest.raises(TimeoutError):
            await ask(upstream, until_s=0.05)
        await settled(lambda: replica.left == 1)


async def test_a_wait_for_more_that_ended_may_go_on():
    go = asyncio.Event()
    async with upstream_to([STREAM + chunk(b"a"), go, chunk(b"b") + b"0\r\n\r\n"]) as (
        upstream,
        _,
    ):
        answer = await ask(upstream)
        loop = asyncio.get_running_loop()
        assert (await answer.read(loop.time() + 20))[1] == b"a"
        for wait_s in (0.05, 0.01):
            with pytest.raises(TimeoutError):
                await answer.read(loop.time() + wait_s)
        go.set()
        assert await read_all(answer) == b"b"


async def test_a_limit_that_moves_away_is_followed():
    go = asyncio.Event()
    async with upstream_to([STREAM, go, chunk(b"a") + b"0\r\n\r\n"]) as (upstream, _):
        answer = await ask(upstream)
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            await answer.read(loop.time() + 0.02)
        loop.call_later(0.1, go.set)
        assert await read_all(answer) == b"a"


async def test_a_cancelled_wait_closes_the_connection():
    async with upstream_to([Step.STALL]) as (upstream, replica):
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(ask(upstream))
            await settled(lambda: len(replica.requests) == 1)
            asked.cancel()
        await settled(lambda: replica.left == 1)


async def test_a_reader_that_stops_holds_the_replica_back():
    piece = chunk(b"x" * 65536)
    async with upstream_to([STREAM, *[piece] * 400, b"0\r\n\r\n"]) as (upstream, replica):
        answer = await ask(upstream)
        await settled(lambda: answer._paused)
        held = sum(len(body) for _, body in answer._arrived)
        assert held < 1 << 20  # one read past the mark, of 26 MB that were offered
        assert len(await read_all(answer)) == 400 * 65536
        await read_all(await ask(upstream))  # reading goes on on this connection
        assert replica.connections == 1


async def test_a_paused_answer_that_is_closed_or_lost_does_no_harm():
    piece = chunk(b"x" * 65536)
    many = [STREAM, *[piece] * 40]
    async with upstream_to([*many, Step.STALL], [*many, Step.RESET], [reply()]) as (
        upstream,
        replica,
    ):
        answer = await ask(upstream)
        await settled(lambda: answer._paused)
        answer.close()
        await settled(lambda: replica.left == 1)
        answer = await ask(upstream)
        await settled(lambda: answer._paused)
        with pytest.raises(UpstreamDisconnected):
            await read_all(answer)
        assert await read_all(await ask(upstream)) == REPLY


async def test_arrivals_are_stamped_with_the_clock():
    ticks = iter(range(10_000))
    async with upstream_to([STREAM + chunk(b"a"), Step.STALL], clock=lambda: next(ticks)) as (
        upstream,
        _,
    ):
        answer = await ask(upstream)
        at, _ = await answer.read(asyncio.get_running_loop().time() + 20)
        assert isinstance(at, int)
        answer.close()


async def test_a_head_of_any_status_is_an_answer():
    async with upstream_to([head(503, more=b"content-length: 0\r\n")]) as (upstream, _):
        answer = await ask(upstream)
        assert answer.status == 503
        assert await read_all(answer) == b""
