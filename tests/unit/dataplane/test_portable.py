import asyncio
import json

import pytest

from gateway.core.errors import InvalidRequest, MethodNotAllowed, Overloaded, RequestTooLarge
from gateway.dataplane.client import PING, ClientLeft
from gateway.dataplane.portable import PortableClient
from tests.fakes.replica import settled

pytestmark = pytest.mark.anyio


class Server:
    """The server's side of one request."""

    def __init__(self, *received):
        self.received = list(received)
        self.sent = []
        self.gone = asyncio.Event()

    def client(self):
        return PortableClient(
            {"method": "POST", "headers": [(b"host", b"h"), (b"a", b"1")]},
            self.receive,
            self.send,
        )

    async def receive(self):
        if self.received:
            return self.received.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])


def piece(body, *, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_is_read_whole_or_in_pieces():
    for pieces in ([piece(b"ab")], [piece(b"a", more=True), piece(b""), piece(b"b")]):
        server = Server(*pieces)
        assert await server.client().body(declared=None, limit=2) in {b"ab", b"a"}
    server = Server(piece(b"a", more=True), piece(b"b"))
    assert await server.client().body(declared=2, limit=2) == b"ab"


@pytest.mark.parametrize(
    ("declared", "pieces"),
    [(3, []), (None, [piece(b"abc")]), (2, [piece(b"ab", more=True), piece(b"c", more=True)])],
    ids=["announced", "whole", "in pieces"],
)
async def test_a_body_over_the_limit_is_refused_as_soon_as_it_shows(declared, pieces):
    server = Server(*pieces)
    with pytest.raises(RequestTooLarge, match="limit of 2 bytes"):
        await server.client().body(declared=declared, limit=2)
    assert server.received == []


async def test_a_client_that_leaves_within_its_body_is_gone():
    for pieces in ([], [piece(b"a", more=True)]):
        server = Server(*pieces)
        server.gone.set()
        with pytest.raises(ClientLeft):
            await server.client().body(declared=None, limit=9)


async def test_the_status_goes_out_once_with_the_first_sign_of_life():
    server = Server()
    client = server.client()
    client.headers = [(b"x-request-id", b"q")]
    await client.ping()
    assert (client.committed, client.content_sent) == (True, False)
    await client.stream(b"data: 1\n\n")
    await client.finish()
    assert (client.content_sent, client.finished) == (True, True)
    assert [message["type"].rpartition(".")[2] for message in server.sent] == [
        "start", "body", "body", "body",
    ]  # fmt: skip
    assert server.headers[b"x-accel-buffering"] == b"no"
    assert server.headers[b"x-request-id"] == b"q"
    assert [m["body"] for m in server.sent[1:]] == [PING, b"data: 1\n\n", b""]
    assert [m["more_body"] for m in server.sent[1:]] == [True, True, False]


@pytest.mark.parametrize(
    ("failure", "headers"),
    [
        (InvalidRequest("x", param="n"), {}),
        (
            Overloaded("x", retry_after_s=1.2),
            {b"retry-after": b"2", b"retry-after-ms": b"1200"},
        ),
        (MethodNotAllowed("/x", "PUT", allow="GET"), {b"allow": b"GET"}),
    ],
)
async def test_a_failure_before_the_status_is_a_reply_of_its_own(failure, headers):
    server = Server()
    await server.client().fail(failure)
    assert server.sent[0]["status"] == failure.status
    body = server.sent[1]["body"]
    plain = {b"content-type": b"application/json", b"content-length": b"%d" % len(body)}
    assert server.headers == plain | headers
    assert json.loads(body)["error"]["code"] == failure.code
    assert not server.sent[1]["more_body"]


async def test_a_failure_after_the_status_is_the_streams_last_event():
    server = Server()
    client = server.client()
    await client.stream(b"data: 1\n\n")
    await client.fail(InvalidRequest("x"))
    assert server.sent[-1]["body"].startswith(b'data: {"error":')
    assert not server.sent[-1]["more_body"]
    assert client.status == 200


async def watched(client, work, *, write_s=60.0):
    async with client.leaving(write_s=write_s):
        return await work


async def test_work_that_ends_before_its_client_leaves_is_not_disturbed():
    async def work():
        return 5

    server = Server()
    assert await watched(server.client(), work()) == 5
    server.gone.set()
    await asyncio.sleep(0.01)  # the watcher is gone: nothing cancels this


async def test_work_whose_client_leaves_ends_at_once():
    server = Server()
    asyncio.get_running_loop().call_soon(server.gone.set)
    with pytest.raises(ClientLeft):
        await watched(server.client(), asyncio.Event().wait())
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_work_that_fails_by_itself_says_so():
    async def work():
        await asyncio.sleep(0)
        raise InvalidRequest("x")

    with pytest.raises(InvalidRequest):
        await watched(Server().client(), work())


async def test_the_end_of_the_worker_is_not_taken_for_the_clients():
    async def serve():
        await watched(Server().client(), asyncio.Event().wait())

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve())
        await asyncio.sleep(0.01)
        task.cancel()
    assert task.cancelled()


async def test_the_close_after_an_answer_is_no_leaving():
    server = Server()
    client = server.client()

    async def work():
        await client.stream(b"data: 1\n\n")
        await client.finish()
        server.gone.set()  # as a server says once the answer is complete
        await asyncio.sleep(0.02)
        return "settled"

    assert await watched(client, work()) == "settled"


async def test_a_send_that_takes_too_long_is_a_leaving():
    server = Server()
    client = server.client()
    begun = asyncio.get_running_loop().time()

    async def stuck(message):
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    server.send = stuck
    client = server.client()
    with pytest.raises(ClientLeft):
        await watched(client, client.stream(b"data: 1\n\n"), write_s=0.05)
    assert asyncio.get_running_loop().time() - begun >= 0.05


async def test_sends_that_each_take_their_time_are_none():
    server = Server()

    async def slow(message):  # noqa: ARG001 - the server's signature
        await asyncio.sleep(0.03)

    server.send = slow
    client = server.client()

    async def work():
        for _ in range(8):
            await client.stream(b"data: 1\n\n")

    await watched(client, work(), write_s=0.1)
    await settled(lambda: client.sends == 16)
