"""Requests leave no reference cycles: what they used goes at once, and no stream is paused."""

import asyncio
import gc

import pytest

from gateway.dataplane.answer import Answer
from gateway.dataplane.attempt import Attempt
from gateway.dataplane.client import Leaving
from gateway.dataplane.direct import DirectClient
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.portable import PortableClient
from gateway.dataplane.splice import Splice
from tests.fakes.replica import answering, reply, stream
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio
OURS = (Answer, Attempt, DirectClient, Exchange, Leaving, PortableClient, Splice)


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


async def test_an_answer_in_one_piece_leaves_none():
    assert await served(COMPLETION, reply()) == []


async def test_a_stream_leaves_none():
    assert await served(STREAMED, stream("a", "b")) == []


async def test_the_test_would_see_one():
    class Tied(PortableClient):
        def __init__(self):  # a client that knows itself
            self.headers = self

    Tied()
    assert left_in_cycles() == ["Tied"]
