"""Requests that are sent before the answers to those before them."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.dataplane import serving
from tests.fakes.replica import settled
from tests.fakes.spliced_server import EVENT, spliced_server
from tests.fakes.wire_client import chunked, request, wired

pytestmark = pytest.mark.anyio

STREAM = request("/stream", b"3")
EVENTS = EVENT % 0 + EVENT % 1 + EVENT % 2
KINDS = {
    "stream": (STREAM, EVENTS),
    "direct": (request("/echo", b"a"), b"a"),
    "chunked": (
        request("/echo", None, more=["transfer-encoding: chunked"]) + chunked(b"b", b"c"),
        b"bc",
    ),
    "server's": (request("/other", b"d"), b"POST /other 1.1 d"),
    "server's, waits": (request("/wait", None, method="GET"), b"GET /wait 1.1 "),
    "direct, waits": (request("/wait", b"e"), b"e"),
}


async def test_answers_come_in_the_order_of_the_requests_whoever_serves_them():
    order = [*KINDS, *reversed(KINDS), *KINDS]
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(b"".join(KINDS[kind][0] for kind in order))
        await client.until(EVENT % 0)
        assert served.began == ["/stream"]  # the others wait for their turn
        served.go.set()
        assert [(await client.answer()).body for _ in order] == [KINDS[k][1] for k in order]
        assert served.server.server_state.total_requests == len(order)


@pytest.mark.parametrize("cut", [1, 40, 130, 200])
async def test_so_they_do_wherever_reads_end(cut):
    wire = b"".join(sent for sent, _ in KINDS.values()) * 2
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(wire[:cut])
        await settled(lambda: served.server.server_state.connections)
        served.go.set()
        await client.send(wire[cut:])
        for said in [said for _, said in KINDS.values()] * 2:
            assert (await client.answer()).body == said


@pytest.mark.parametrize("waiting", KINDS)
@pytest.mark.parametrize("served_first", ["stream", "direct, waits"])
@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_client_that_leaves_is_missed_though_a_request_of_its_waits(
    served_first, waiting, leave
):
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(KINDS[served_first][0] + KINDS[waiting][0])
        await settled(lambda: served.began)
        (connection,) = served.server.server_state.connections
        await settled(lambda: connection.pipeline)
        getattr(client, leave)()
        await settled(lambda: served.ends == ["left"])
        await settled(lambda: not served.server.server_state.connections)
        assert len(served.began) == 1  # nobody waits for the other answer either


async def test_a_client_that_sends_requests_without_end_is_not_read_from_without_end(
    monkeypatch,
):
    monkeypatch.setattr(serving, "_MOST_WAITING", 3)
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(STREAM)
        await client.until(EVENT % 0)
        (connection,) = served.server.server_state.connections
        for number in range(4):
            assert connection.transport.is_reading()
            await client.send(request("/echo", b"%d" % number))
            await settled(lambda n=number: len(connection.pipeline) == n + 1)
        assert not connection.transport.is_reading()
        await client.send(request("/wait", b"last"))
        served.go.set()
        assert (await client.answer()).body == EVENTS
        for number in range(4):
            assert (await client.answer()).body == b"%d" % number
        assert (await client.answer()).body == b"last"
        assert connection.transport.is_reading()


async def _standing_still(count):
    last, same = count(), 0
    while same < 40:
        await asyncio.sleep(0.01)
        last, same = (last, same + 1) if count() == last else (count(), 0)
    return last


@asynccontextmanager
async def _sending_without_reading(sent):
    """Give a server, its connection to a client that only sends, and that client."""
    async with (
        spliced_server(send_buffer=16_384) as served,
        wired(served.port, receive_buffer=4096) as client,
        asyncio.TaskGroup() as tasks,
    ):
        sending = tasks.create_task(client.send(sent))
        await settled(lambda: served.server.server_state.connections)
        (connection,) = served.server.server_state.connections
        await settled(lambda: connection.flow.write_paused)
        yield served, connection, client
        sending.cancel()


async def test_answers_that_are_not_read_are_not_heaped_up():
    """Each alone is let out whole, but the next one only once it is read."""
    sent = request("/echo", b"x" * 300_000) * 8
    async with _sending_without_reading(sent) as (served, connection, client):
        answered = await _standing_still(lambda: len(served.ends))
        assert answered < 8
        assert connection.transport.get_write_buffer_size() < 400_000
        for _ in range(8):
            assert len((await client.answer()).body) == 300_000
        assert len(served.ends) == 8


async def test_whoever_leaves_without_having_read_is_not_waited_for():
    sent = request("/echo", b"x" * 300_000) * 8
    async with _sending_without_reading(sent) as (served, _, client):
        await settled(lambda: len(served.began) == len(served.ends) + 1)
        await _standing_still(lambda: len(served.ends))
        client.reset()
        await settled(lambda: not served.server.server_state.connections)
        await settled(lambda: not served.server.server_state.tasks)


GARBAGE = b"this is not HTTP\r\n\r\n"


async def test_garbage_after_a_request_does_not_get_into_its_answer():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(STREAM + request("/echo", b"a") + GARBAGE)
        await client.until(EVENT % 0)
        await client.send(GARBAGE)
        served.go.set()
        assert (await client.answer()).body == EVENTS
        assert (await client.answer()).body == b"a"
        assert (await client.answer()).status == 400
        assert await client.ended()
        assert served.ends == ["ok", "ok"]


async def test_garbage_does_not_hide_that_the_client_left():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(STREAM + GARBAGE)
        await client.until(EVENT % 0)
        client.close()
        await settled(lambda: served.ends == ["left"])


IN_A_BODY = request("/echo", None, more=["transfer-encoding: chunked"]) + b"zz\r\n"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (GARBAGE, [400]),
        (IN_A_BODY, [400]),
        (request("/other", b"a") + GARBAGE, [200, 400]),
        (request("/echo", b"a") + GARBAGE, [200, 400]),
        (request("/echo", b"a") + IN_A_BODY, [200, 400]),
    ],
    ids=["first", "in a body", "behind the server's", "behind", "in a second body"],
)
async def test_what_is_no_http_ends_the_connection(sent, statuses):
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(sent)
        assert [(await client.answer()).status for _ in statuses] == statuses
        assert await client.ended()
        await settled(lambda: not served.server.server_state.tasks)


async def test_so_does_what_is_no_http_after_an_answer():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/refuse"))
        assert (await client.answer()).status == 401
        await client.send(GARBAGE)
        answer = await client.answer()
        assert (answer.status, answer.headers[b"connection"]) == (400, b"close")
        assert await client.ended()
