"""Requests of which the head is known by its bytes: served as if it had been read again."""

import pytest

from tests.fakes.replica import settled
from tests.fakes.spliced_server import spliced_server
from tests.fakes.wire_client import request, wired

pytestmark = pytest.mark.anyio


def reads(served):
    """Count the heads that are read in full from now on, over the one connection."""
    (connection,) = served.server.server_state.connections
    counted = []
    read = connection.parser.feed_data

    class Counting:
        def feed_data(self, data):
            counted.append(bytes(data))
            read(data)

        def __getattr__(self, name):
            return getattr(parser, name)

    parser = connection.parser
    connection.parser = Counting()
    return counted


async def asked(client, sent):
    await client.send(sent)
    return (await client.answer()).body


async def test_the_head_of_the_second_request_is_not_read_again():
    async with spliced_server() as served, wired(served.port) as client:
        assert await asked(client, request("/echo", b"first")) == b"first"
        counted = reads(served)
        for body in (b"other", b"a longer one", b"x" * 20_000):
            assert await asked(client, request("/echo", body)) == body
        assert counted == []
        lengths = [each.asked[b"content-length"] for each in served.clients]
        assert lengths == [b"5", b"5", b"12", b"20000"]
        assert len({tuple(each.asked) for each in served.clients}) == 1


async def test_another_head_is_read_and_known_from_then_on():
    async with spliced_server() as served, wired(served.port) as client:
        await asked(client, request("/echo", b"a"))
        counted = reads(served)
        other = request("/echo", b"bc", more=["x-other: 1"])
        assert await asked(client, other) == b"bc"
        assert counted == [other]
        assert served.clients[-1].asked[b"x-other"] == b"1"
        assert await asked(client, other) == b"bc"
        assert await asked(client, request("/echo", b"d")) == b"d"
        assert b"x-other" not in served.clients[-1].asked
        assert len(counted) == 2


async def test_a_client_whose_heads_never_come_again_is_no_longer_learned_from():
    async with spliced_server() as served, wired(served.port) as client:
        for number in range(5):
            await asked(client, request("/echo", b"a", more=[f"x-number: {number}"]))
        counted = reads(served)
        last = request("/echo", b"a", more=["x-number: 4"])
        assert await asked(client, last) == b"a"
        assert counted == [last]


async def test_a_request_that_comes_in_parts_is_read():
    async with spliced_server() as served, wired(served.port) as client:
        sent = request("/echo", b"hello")
        await asked(client, sent)
        counted = reads(served)
        for cut in (1, len(sent) - 7, len(sent) - 2):
            await client.send(sent[:cut])
            await settled(lambda: counted)
            await client.send(sent[cut:])
            assert (await client.answer()).body == b"hello"
            assert b"".join(counted) == sent
            counted.clear()
        assert await asked(client, sent) == b"hello"
        assert counted == []


async def test_requests_sent_ahead_are_read_and_answered_in_order():
    async with spliced_server() as served, wired(served.port) as client:
        await asked(client, request("/echo", b"0"))
        await client.send(b"".join(request("/echo", b"%d" % number) for number in range(1, 6)))
        assert [(await client.answer()).body for _ in range(5)] == [
            b"1",
            b"2",
            b"3",
            b"4",
            b"5",
        ]


async def test_one_that_comes_while_another_is_answered_waits_its_turn():
    async with spliced_server() as served, wired(served.port) as client:
        await asked(client, request("/echo", b"0"))
        await client.send(request("/stream", b"2"))
        await settled(lambda: served.began == ["/echo", "/stream"])
        counted = reads(served)
        await client.send(request("/stream", b"1"))
        await settled(lambda: counted)
        served.go.set()
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        assert served.ends == ["ok"] * 3


@pytest.mark.parametrize(
    "between",
    [request("/other", b"x"), request("/echo", None, method="GET")],
    ids=["another path", "another method"],
)
async def test_what_the_server_serves_itself_does_not_disturb(between):
    async with spliced_server() as served, wired(served.port) as client:
        await asked(client, request("/echo", b"a"))
        await asked(client, between)
        counted = reads(served)
        assert await asked(client, request("/echo", b"b")) == b"b"
        assert counted == []
        assert served.began == ["/echo", "asgi", "/echo"]


async def test_the_head_of_one_request_is_not_taken_for_that_of_the_next_in_the_same_bytes():
    """Neither is known by the other's: the second asks for another path."""
    async with spliced_server() as served, wired(served.port) as client:
        first, second = request("/other", b"x"), request("/echo", b"y")
        await client.send(first + second)
        assert [(await client.answer()).body for _ in range(2)] == [b"POST /other 1.1 x", b"y"]
        assert await asked(client, first) == b"POST /other 1.1 x"
        assert await asked(client, second) == b"y"


async def test_a_connection_that_was_to_be_closed_is_not_learned_from():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/echo", b"a", more=["connection: close"]))
        answer = await client.answer()
        assert answer.headers[b"connection"] == b"close"
        assert await client.ended()
    async with spliced_server() as served, wired(served.port) as client:
        keeps = request("/echo", b"a", more=["connection: keep-alive"])
        await asked(client, keeps)
        counted = reads(served)
        await asked(client, keeps)
        assert counted == []
