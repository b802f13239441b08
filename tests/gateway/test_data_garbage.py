"""Requests leave no reference cycles: what they used goes at once, and no stream is paused."""

import asyncio
import gc

import pytest

from gateway.core.errors import Overloaded
from gateway.core.snapshot import Limits, Timeouts
from gateway.core.stream import AnswerStream
from gateway.dataplane.answer import Answer
from gateway.dataplane.attempt import Attempt
from gateway.dataplane.client import Leaving
from gateway.dataplane.direct import DirectClient
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.portable import PortableClient
from gateway.dataplane.request_body import RequestBody
from gateway.dataplane.serving import SpliceProtocol
from gateway.dataplane.splice import Splice
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    Step,
    answering,
    chunk,
    reply,
    says,
    settled,
    stream,
)
from tests.fakes.wire_client import request, wired
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio
PRIORITY = "x-trtgw-priority"
OURS = (
    AnswerStream, Answer, Attempt, DirectClient, Exchange, Leaving, Overloaded, PortableClient,
    RequestBody, Splice, SpliceProtocol,
)  # fmt: skip


def left_in_cycles():
    """Return the objects of ours that only the garbage collector would find."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [type(each).__name__ for each in gc.garbage if isinstance(each, OURS)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def served(body, answer):
    replica = answering(*[[answer] for _ in range(10)])
    async with gateway_over(replica) as gateway, gateway.serving() as client:
        for _ in range(10):
            sent = await client.post("/v1/completions", content=body)
            assert sent.status_code == 200
        await asyncio.sleep(0)
        return left_in_cycles()


async def cut_short(*script, leave=False):
    """Return what is left of streams that did not end well, once their connections are gone."""
    replica = answering(script)
    async with gateway_over(replica) as gateway, gateway.serving() as http:
        port = http.base_url.port
        for number in range(5):
            async with wired(port) as client:
                await client.send(request("/v1/completions", STREAMED))
                if leave:
                    await settled(lambda n=number: len(replica.requests) == n + 1)
                    client.close()
                else:
                    await client.answer()
            await settled(lambda n=number: len(gateway.recorder.facts) == n + 1)
        await settled(lambda: replica.open == 0)
        await settled(lambda: not gateway.server.server_state.connections)
        await asyncio.sleep(0.01)
        return left_in_cycles()


async def test_an_answer_in_one_piece_leaves_none():
    assert await served(COMPLETION, reply()) == []


async def test_a_stream_leaves_none():
    assert await served(STREAMED, stream("a", "b")) == []


async def test_a_connection_that_ends_leaves_none():
    assert await cut_short(stream("a", "b"), Step.CLOSE) == []


@pytest.mark.parametrize(
    "script", [[Step.STALL], [STREAM + chunk(says("a")), Step.STALL]], ids=["prefill", "stream"]
)
async def test_a_client_that_leaves_leaves_none(script):
    assert await cut_short(*script, leave=True) == []


@pytest.mark.parametrize(
    "wire",
    [
        STREAM + chunk(says("a")),
        STREAM + chunk(says("a")) + chunk(b"data: {\n\n"),
        STREAM + chunk(b"data: {\n\n"),
        STREAM + chunk(says("a")) + b"zz\r\n",
        STREAM + chunk(says("a")) + chunk(DONE) + LAST,
        reply(b"{}", status=500),
        b"",
    ],
    ids=["stream", "chunk", "first chunk", "framing", "no end", "refusal", "nothing"],
)
async def test_an_answer_that_breaks_off_leaves_none(wire):
    assert await cut_short(wire, Step.CLOSE) == []


async def test_those_who_wait_for_room_in_vain_leave_none():
    go = asyncio.Event()
    replica = answering(
        [STREAM + chunk(says("a")), go, chunk(says("b", finish="stop")) + chunk(DONE) + LAST]
    )
    limits, timeouts = Limits(queue=2), Timeouts(connect_s=5, queue_s=0.05)
    async with (
        gateway_over(replica, limits=limits, timeouts=timeouts) as gateway,
        gateway.serving() as http,
        asyncio.TaskGroup() as tasks,
    ):
        replica.concurrency = 1
        gateway.publish()
        running = tasks.create_task(http.post("/v1/completions", content=STREAMED))
        await settled(lambda: len(replica.requests) == 1)
        for _ in range(
            3
        ):  # one is one too many, one displaced by the urgent, two wait too long
            asked = [
                http.post("/v1/completions", content=STREAMED, headers={PRIORITY: str(number)})
                for number in (5, 5, 5, 0)
            ]
            assert [each.status_code for each in await asyncio.gather(*asked)] == [503] * 4
        gateway.publish(timeouts=Timeouts(connect_s=5, queue_s=60))
        waits = tasks.create_task(http.post("/v1/completions", content=STREAMED))
        await settled(lambda: gateway.queued["m"] == 1)
        gateway.publish(replicas=())
        assert (await waits).json()["error"]["code"] == "no_replica"
        go.set()
        await running
        await asyncio.sleep(0.01)
        assert left_in_cycles() == []


async def test_the_test_would_see_one():
    class Tied(PortableClient):
        def __init__(self):  # a client that knows itself
            self.headers = self

    Tied()
    assert left_in_cycles() == ["Tied"]
