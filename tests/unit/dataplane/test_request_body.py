import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import RequestTooLarge
from gateway.dataplane.client import ClientLeft
from gateway.dataplane.request_body import RequestBody
from tests.fakes.line import Line
from tests.fakes.replica import settled
from tests.fakes.spliced_server import LIMIT, spliced_server
from tests.fakes.wire_client import chunked, request, wired

pytestmark = pytest.mark.anyio

CHUNKED = ["transfer-encoding: chunked"]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def begin(*, expects_continue=False):
    source = Line()
    loop = asyncio.get_running_loop()
    return source, RequestBody(source, loop, expects_continue=expects_continue)


async def test_a_body_that_is_there_is_read_at_once():
    source, body = begin(expects_continue=True)
    body.came(b"ab")
    body.ended()
    assert await body.read(2) == b"ab"
    assert source.written == b""


async def test_an_empty_body_is_one_too():
    source, body = begin(expects_continue=True)
    body.ended()
    assert await body.read(0) == b""
    assert source.written == b""


@pytest.mark.parametrize("size", [1, 100, 5000])
async def test_a_body_in_many_parts_is_their_sum(size):
    _, body = begin()
    loop = asyncio.get_running_loop()
    parts = [b"%d," % number for number in range(size)]
    for part in parts:
        loop.call_soon(body.came, part)
    loop.call_soon(body.ended)
    assert await body.read(1 << 20) == b"".join(parts)


async def test_what_nobody_asked_for_holds_the_client_back_above_64_kib():
    source, body = begin()
    body.came(b"a" * 65_536)
    assert source.reading
    body.came(b"a")
    assert not source.reading
    asyncio.get_running_loop().call_soon(body.ended)
    assert len(await body.read(1 << 20)) == 65_537
    assert source.reading


async def test_a_body_that_was_there_at_once_lets_the_client_be_read_again():
    """Else nobody would see it leave."""
    source, body = begin()
    body.came(b"a" * 70_000)
    body.ended()
    assert len(await body.read(1 << 20)) == 70_000
    assert source.reading


async def test_what_was_asked_for_is_not_held_back():
    source, body = begin()
    loop = asyncio.get_running_loop()
    for _ in range(10):
        loop.call_soon(body.came, b"a" * 65_536)
    loop.call_soon(body.ended)
    assert len(await body.read(1 << 20)) == 655_360
    assert source.reading


async def test_a_body_over_the_limit_is_refused_as_soon_as_it_shows():
    for before in (True, False):
        _, body = begin()
        if before:
            body.came(b"abc")
        else:
            asyncio.get_running_loop().call_soon(body.came, b"abc")
        with pytest.raises(RequestTooLarge, match="limit of 2 bytes"):
            await body.read(2)


@pytest.mark.parametrize("begun", [True, False])
async def test_a_client_that_leaves_within_its_body_is_gone(begun):
    source, body = begin(expects_continue=True)
    if begun:
        body.came(b"a")
    body.lost()
    with pytest.raises(ClientLeft):
        await body.read(9)
    assert source.written == b""  # nothing is written to a connection that is lost
    _, body = begin()
    asyncio.get_running_loop().call_soon(body.lost)
    with pytest.raises(ClientLeft):
        await body.read(9)


async def test_a_client_that_leaves_after_its_body_has_sent_it_all():
    _, body = begin()
    body.came(b"a")
    body.ended()
    body.lost()
    assert await body.read(9) == b"a"


async def test_a_client_that_waits_to_be_asked_is_asked_once():
    source, body = begin(expects_continue=True)
    loop = asyncio.get_running_loop()
    loop.call_soon(body.came, b"a")
    loop.call_soon(body.ended)
    assert await body.read(9) == b"a"
    assert source.written == CONTINUE


async def test_one_that_did_not_wait_is_not_asked():
    source, body = begin(expects_continue=True)
    body.came(b"a")
    asyncio.get_running_loop().call_soon(body.ended)
    assert await body.read(9) == b"a"
    assert source.written == b""


async def test_a_reader_that_is_cancelled_does_no_harm():
    _, body = begin()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(body.read(9))
        await asyncio.sleep(0)
        reading.cancel()
        body.came(b"a")
        body.ended()
    assert reading.cancelled()


async def test_tiny_parts_take_little_more_memory_than_what_is_in_them():
    _, body = begin()
    for _ in range(100_000):
        body.came(b"xy")
    assert sum(map(sys.getsizeof, body._parts)) < 300_000
    body.ended()
    assert await body.read(1 << 20) == b"xy" * 100_000


async def test_a_body_that_is_refused_is_not_kept_while_the_connection_idles():
    more = [*CHUNKED]
    async with spliced_server() as served, wired(served.port) as client:
        for path, parts in (("/echo", [b"x" * 65_536] * 17), ("/refuse", [b"x" * 60_000])):
            await client.send(request(path, None, more=more) + chunked(*parts))
            assert (await client.answer()).status in {401, 413}
            assert served.clients[-1].body_parts._parts == []


@given(parts=st.lists(st.binary(max_size=3), max_size=900))
def test_no_part_is_lost_or_moved(parts):
    async def read():
        _, body = begin()
        for part in parts:
            body.came(part)
        body.ended()
        return await body.read(1 << 20)

    assert asyncio.run(read()) == b"".join(parts)


# Over real connections.


@pytest.mark.parametrize("size", [0, 1, 65_537, LIMIT])
@pytest.mark.parametrize("expects", [True, False])
async def test_a_body_of_any_length_arrives(size, expects):
    body = b"x" * size
    more = ["expect: 100-continue"] if expects else []
    async with spliced_server() as served, wired(served.port) as client:
        for _ in range(2):
            head, _, rest = request("/echo", body, more=more).partition(b"\r\n\r\n")
            await client.send(head + b"\r\n\r\n")
            if expects and size:
                await client.until(CONTINUE)
            await client.send(rest)
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, body)
            assert answer.announced == ([100] if expects and size else [])


async def test_a_chunked_body_may_come_byte_by_byte():
    async with spliced_server() as served, wired(served.port) as client:
        wire = request("/echo", None, more=CHUNKED) + chunked(b"a", b"bcd", b"e" * 20)
        for at in range(len(wire)):
            await client.send(wire[at : at + 1])
            await asyncio.sleep(0)
        assert (await client.answer()).body == b"abcd" + b"e" * 20


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("expects", [True, False])
async def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(announced, expects):
    more = ["expect: 100-continue"] if expects else []
    body = b"x" * (LIMIT + 1)
    if announced:
        sent = request("/echo", body, more=more)
    else:
        sent = request("/echo", None, more=[*more, *CHUNKED]) + chunked(*[body[:65_536]] * 18)
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(sent)
        answer = await client.answer()
        assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")
        await client.send(request("/echo", b"next"))
        assert (await client.answer()).body == b"next"
        assert served.ends == ["too large", "ok"]


@pytest.mark.parametrize("size", [0, 1, 65_537, 3 * LIMIT])
async def test_a_body_that_nobody_reads_does_not_stop_the_connection(size):
    async with spliced_server() as served, wired(served.port) as client:
        for _ in range(3):
            await client.send(request("/refuse", b"x" * size))
            assert (await client.answer()).status == 401
        await client.send(request("/echo", b"next"))
        assert (await client.answer()).body == b"next"


async def test_a_refused_client_is_not_asked_for_its_body():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/refuse", None, more=["expect: 100-continue", *CHUNKED]))
        answer = await client.answer()
        assert (answer.status, answer.announced) == (401, [])


@pytest.mark.parametrize("size", [10, 70_000])
async def test_a_client_with_a_body_of_any_length_is_missed_when_it_leaves(size):
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/wait", b"x" * size))
        await settled(lambda: served.began)
        client.close()
        await settled(lambda: served.ends == ["left"])


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_client_that_leaves_in_the_middle_of_its_body_is_gone(leave):
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/echo", b"x" * 10)[:-1])
        await settled(lambda: served.began)
        getattr(client, leave)()
        await settled(lambda: served.ends == ["left"])
