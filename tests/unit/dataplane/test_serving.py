import pytest

from tests.fakes.replica import settled
from tests.fakes.spliced_server import EVENT, spliced_server
from tests.fakes.wire_client import chunked, request, wired

pytestmark = pytest.mark.anyio

STREAM_OF_3 = request("/stream", b"3")
EVENTS = EVENT % 0 + EVENT % 1 + EVENT % 2


async def test_a_request_to_a_spliced_path_is_served_past_the_server():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/echo", b"hello"))
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"hello")
        assert b"date" in answer.headers
        assert served.began == ["/echo"]


async def test_a_stream_is_sent_event_by_event():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(STREAM_OF_3)
        await client.until(EVENT % 0)
        served.go.set()
        answer = await client.answer()
        assert answer.headers[b"transfer-encoding"] == b"chunked"
        assert answer.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert answer.body == EVENTS


@pytest.mark.parametrize(
    ("sent", "method", "said"),
    [
        (request("/echo", b"x", version="1.0"), "POST", b"POST /echo 1.0 x"),
        (request("/echo", b"x", method="PUT"), "PUT", b"PUT /echo 1.1 x"),
        (request("/echo", None, method="GET"), "GET", b"GET /echo 1.1 "),
        (request("/echo?a=b", b"x"), "POST", b"POST /echo 1.1 x"),
        (request("/ech%6F", b"x"), "POST", b"POST /echo 1.1 x"),
        (request("/other", b"x"), "POST", b"POST /other 1.1 x"),
        (request("/echo", None, method="HEAD"), "HEAD", b""),
    ],
    ids=["1.0", "PUT", "GET", "query", "escaped", "other path", "HEAD"],
)
async def test_all_else_is_left_to_the_server(sent, method, said):
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(sent)
        assert (await client.answer(method)).body == said
        assert served.began == ["asgi"]
        if b"HTTP/1.0" not in sent:  # the connection goes on, in step
            await client.send(request("/echo", b"next"))
            assert (await client.answer()).body == b"next"


async def test_a_connection_carries_many_requests_of_both_kinds_one_after_the_other():
    async with spliced_server() as served, wired(served.port) as client:
        served.go.set()
        for number in range(6):
            await client.send(STREAM_OF_3)
            assert (await client.answer()).body == EVENTS
            await client.send(request("/echo", b"%d" % number))
            assert (await client.answer()).body == b"%d" % number
            await client.send(request("/other", b"%d" % number))
            assert (await client.answer()).body == b"POST /other 1.1 %d" % number
            await client.send(request("/echo", None, more=["transfer-encoding: chunked"]))
            await client.send(chunked(b"a", b"b" * 70_000, b"c"))
            assert (await client.answer()).body == b"a" + b"b" * 70_000 + b"c"
        assert len(served.server.server_state.connections) == 1
        assert served.server.server_state.total_requests == 24


async def test_a_client_that_wants_the_connection_closed_gets_its_answer_and_the_end():
    async with spliced_server() as served, wired(served.port) as client:
        served.go.set()
        await client.send(request("/stream", b"3", more=["connection: close"]))
        answer = await client.answer()
        assert answer.headers[b"connection"] == b"close"
        assert answer.body == EVENTS
        assert await client.ended()


@pytest.mark.parametrize("path", ["/echo", "/wait"], ids=["idle", "asked"])
async def test_the_end_of_the_server_completes_what_runs_and_closes_what_does_not(path):
    async with spliced_server() as served, wired(served.port) as client:
        if path == "/echo":
            await client.send(request(path, b"x"))
            await client.answer()
            served.server.stop_accepting()
        else:
            await client.send(request(path, b"x"))
            await settled(lambda: served.began)
            served.server.stop_accepting()
            (connection,) = served.server.server_state.connections
            await settled(lambda: not connection.cycle.keep_alive)
            served.go.set()
            answer = await client.answer()
            assert answer.headers[b"connection"] == b"close"
        assert await client.ended()


async def test_the_end_of_the_server_lets_a_stream_finish_and_then_closes_its_connection():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(STREAM_OF_3)
        await client.until(EVENT % 0)
        served.server.stop_accepting()
        (connection,) = served.server.server_state.connections
        await settled(lambda: not connection.cycle.keep_alive)
        served.go.set()
        assert (await client.answer()).body == EVENTS
        assert await client.ended()
        assert served.ends == ["ok"]


async def test_a_handler_that_ends_without_an_answer_ends_the_connection():
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/die"))
        await client.until(b": ping\n\n")
        client.unread = b""
        assert await client.ended()  # and not in a way that looks like the answer's end


async def test_an_id_of_the_request_cannot_add_lines_to_the_answer():
    """llhttp refuses line ends in a header; `gate.request_id` would not take them either."""
    async with spliced_server() as served, wired(served.port) as client:
        await client.send(request("/echo", b"", more=["x-request-id: a\rset-cookie: b"]))
        assert (await client.answer()).status == 400
        assert served.began == []
