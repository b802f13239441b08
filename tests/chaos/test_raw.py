"""The bare client sees everything that is out of place."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.chaos import raw
from tests.chaos.answers import CALL, EVENTS, HEAD, LAST, STREAMED, WHOLE, event, framed
from tests.chaos.calls import Call
from tests.chaos.checker import Ended

pytestmark = pytest.mark.anyio
ERROR = b'{"error":{"message":"m","type":"server_error","code":"c"}}'


@asynccontextmanager
async def answering(answer, *, hold=False):
    ended = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if hold:
            await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await ended.wait()


async def seen_of(answer, *, stream=True):
    call = CALL if stream else Call(7, "raw", chat=False, stream=False, tokens=4)
    async with answering(answer) as url:
        return await raw.ask(url, call, limit_s=60)


def streaming(*events, end=LAST):
    return HEAD + framed(*events) + end


async def test_a_good_stream_is_text_reason_and_end():
    seen = await seen_of(STREAMED)
    assert (seen.ended, seen.status, seen.text) == (Ended.WELL, 200, "New York →")
    assert (seen.finish_reason, seen.error, seen.ids) == ("length", None, 1)
    assert seen.first_text_s is not None
    assert 0 < seen.began_at <= seen.ended_at


async def test_so_is_an_answer_that_comes_whole():
    seen = await seen_of(WHOLE, stream=False)
    assert (seen.ended, seen.text, seen.finish_reason) == (Ended.WELL, "New York", "length")


async def test_an_end_without_done_is_well_but_has_no_reason():
    seen = await seen_of(streaming(*EVENTS[:-1]))
    assert (seen.ended, seen.finish_reason, seen.note) == (Ended.WELL, None, "no [DONE]")


async def test_errors_are_told_by_the_last_event_or_the_status():
    seen = await seen_of(streaming(event("a"), b"data: " + ERROR + b"\n\n"))
    assert (seen.ended, seen.status, seen.text, seen.error["code"]) == (
        Ended.TOLD,
        200,
        "a",
        "c",
    )
    head = b"HTTP/1.1 502 Bad Gateway\r\nx-trtgw-attempts: 3\r\ncontent-length: %d\r\n\r\n"
    seen = await seen_of(head % len(ERROR) + ERROR)
    assert (seen.ended, seen.status, seen.error["code"]) == (Ended.TOLD, 502, "c")
    assert seen.attempts == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HEAD[:30],
        streaming(*EVENTS[:2], end=b""),
        streaming(*EVENTS[:2], end=b"5\r\nda"),
        streaming(*EVENTS, end=b"0\r\n"),
        WHOLE[:-1],
    ],
)
async def test_a_connection_that_ends_too_early_is_a_broken_transport(answer):
    seen = await seen_of(answer)
    assert seen.ended is Ended.TRANSPORT


@pytest.mark.parametrize(
    "answer",
    [
        HEAD.replace(b"HTTP/1.1", b"HTTP/9.9") + framed(*EVENTS) + LAST,
        HEAD.replace(b"\r\n", b"\n", 1) + framed(*EVENTS) + LAST,
        streaming(*EVENTS, event("more")),
        streaming(*EVENTS, EVENTS[-1]),
        streaming(b"data: " + ERROR + b"\n\n", EVENTS[-1]),
        streaming(b"datum: x\n\n", *EVENTS),
        streaming(b"data: {\n\n"),
        streaming(b"data: 7\n\n"),
        streaming(b'data: {"id":"x"}\n\n'),
        streaming(*EVENTS, b"data: "),
        streaming(*EVENTS, end=b"x\r\n"),
        streaming(*EVENTS, end=b"0\r\nxx"),
        HEAD + b"3\r\ndataxx",
    ],
)
async def test_anything_out_of_place_confuses_it(answer):
    seen = await seen_of(answer)
    assert seen.ended is Ended.CONFUSED
    assert seen.note


async def test_comments_are_passed_over():
    seen = await seen_of(streaming(b": ping\n\n", *EVENTS))
    assert (seen.ended, seen.text) == (Ended.WELL, "New York →")


async def test_chunks_of_several_ids_are_counted():
    seen = await seen_of(streaming(event("a", answer_id="x"), *EVENTS))
    assert seen.ids == 2


async def test_an_answer_that_does_not_come_hangs():
    async with answering(HEAD, hold=True) as url:
        seen = await raw.ask(url, CALL, limit_s=0.2)
    assert seen.ended is Ended.HUNG
