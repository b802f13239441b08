"""A client that leaves, or reads no more, costs its replica nothing further."""

import asyncio

import pytest

from gateway.core.outcome import AttemptOutcome, Outcome
from gateway.core.snapshot import Timeouts
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    Flood,
    Step,
    answering,
    chunk,
    reply,
    says,
    settled,
    stream,
)
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio

IN_PREFILL = [STREAM, Step.STALL]
BEFORE_THE_HEAD = [Step.STALL]
MID_STREAM = [STREAM + chunk(says("a")), Step.STALL]


async def leave(gateway, body, when, **known):
    """Ask, leave as soon as ``when(client)`` holds, and return the client."""
    client = gateway.client(**known)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.post("/v1/completions", body))
        await settled(lambda: when(client))
        client.gone.set()
    return client


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (BEFORE_THE_HEAD, STREAMED),
        (IN_PREFILL, STREAMED),
        (MID_STREAM, STREAMED),
        (BEFORE_THE_HEAD, COMPLETION),
        ([reply()[:-5], Step.STALL], COMPLETION),
    ],
    ids=["before the head", "in prefill", "mid-stream", "not streamed", "half a reply"],
)
async def test_a_client_that_leaves_closes_the_connection_to_the_replica(script, body):
    replica = answering(script, [stream("x")])
    async with gateway_over(replica) as gateway:
        begins = script is MID_STREAM
        client = await leave(
            gateway, body, lambda c: c.chunks if begins else len(replica.requests) == 1
        )
        await settled(lambda: replica.left == 1)
        facts = gateway.facts
        assert facts.outcome is Outcome.CLIENT_DISCONNECT
        assert facts.code == (200 if begins else 499)
        assert facts.attempts[0].outcome is AttemptOutcome.CANCELLED
        assert client.chunks == ([client.chunks[0]] if begins else [])
        assert gateway.failed == []  # the replica did nothing wrong
        assert gateway.leases.peak[0] == 1
        assert (await gateway.post(STREAMED)).text == "x"


async def test_a_client_that_leaves_while_connecting_leaves_nothing_open():
    replica = answering([stream("x")])
    async with gateway_over(replica) as gateway:
        client = gateway.client()
        client.gone.set()
        await client.post("/v1/completions", STREAMED)
        assert gateway.facts.outcome is Outcome.CLIENT_DISCONNECT
        await settled(lambda: replica.connections == 1 and replica.open == 0)


async def test_a_client_that_leaves_while_its_reader_is_stalled_frees_the_replica_at_once():
    replica = answering([STREAM, Flood(chunk(says("x" * 1000)))])
    async with gateway_over(replica) as gateway:
        await leave(gateway, STREAMED, lambda c: c.stalled.is_set(), stall_after=2)
        await settled(lambda: replica.open == 0)
        assert gateway.facts.outcome is Outcome.CLIENT_DISCONNECT


async def test_a_client_that_reads_no_more_is_given_up():
    replica = answering([STREAM, Flood(chunk(says("x" * 1000)))])
    async with gateway_over(replica, timeouts=Timeouts(client_write_s=0.1)) as gateway:
        client = gateway.client(stall_after=2)
        await client.post("/v1/completions", STREAMED)
        assert len(client.chunks) == 2
        assert gateway.facts.outcome is Outcome.CLIENT_DISCONNECT
        await settled(lambda: replica.open == 0)


async def test_a_client_that_waits_for_its_replica_is_not_given_up():
    go = asyncio.Event()
    replica = answering([STREAM + chunk(says("a")), go, chunk(says("b", finish="stop") + DONE)])
    async with gateway_over(replica, timeouts=Timeouts(client_write_s=0.02)) as gateway:
        asyncio.get_running_loop().call_later(0.3, go.set)
        client = await gateway.post(STREAMED)
        assert client.text == "ab"


async def test_a_client_that_reads_slowly_holds_the_replica_back():
    replica = answering([STREAM, Flood(chunk(says("x" * 10_000)))])
    async with gateway_over(replica) as gateway:
        async with (
            gateway.serving() as http,
            http.stream("POST", "/v1/completions", content=STREAMED) as answer,
        ):
            assert answer.status_code == 200
            still = await _standing_still(lambda: replica.sent_bytes)
        # What lies between is bounded by socket buffers; unread, it would grow for ever.
        assert still < 64 << 20
        await settled(lambda: replica.open == 0)


async def _standing_still(count, *, rounds=40):
    last, same = count(), 0
    async with asyncio.timeout(60):
        while same < rounds:
            await asyncio.sleep(0.01)
            last, same = (last, same + 1) if count() == last else (count(), 0)
    return last


async def test_over_a_real_socket_a_client_that_hangs_up_is_noticed():
    replica = answering(MID_STREAM, BEFORE_THE_HEAD)
    async with gateway_over(replica) as gateway, gateway.serving() as http:
        async with http.stream("POST", "/v1/completions", content=STREAMED) as answer:
            async for line in answer.aiter_lines():
                assert line.startswith("data: ")
                break
        await settled(lambda: replica.left == 1)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(http.post("/v1/completions", content=COMPLETION))
            await settled(lambda: len(replica.requests) == 2)
            asking.cancel()
        await settled(lambda: replica.left == 2)
        await settled(lambda: len(gateway.recorder.facts) == 2)
        assert {f.outcome for f in gateway.recorder.facts} == {Outcome.CLIENT_DISCONNECT}


async def test_over_a_real_socket_a_client_that_reads_no_more_is_given_up():
    replica = answering([STREAM, Flood(chunk(says("x" * 10_000)))])
    limits = Timeouts(client_write_s=0.2)
    async with gateway_over(replica, timeouts=limits) as gateway, gateway.serving() as http:
        _, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port, limit=1024)
        length = b"content-length: %d\r\n\r\n" % len(STREAMED)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: h\r\n" + length + STREAMED)
        await settled(lambda: gateway.recorder.facts)
        assert gateway.facts.outcome is Outcome.CLIENT_DISCONNECT
        await settled(lambda: replica.open == 0)
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_leaves_before_its_body_is_whole_is_no_error():
    async with gateway_over(answering()) as gateway:
        client = gateway.client()
        client.gone.set()
        await client.post("/v1/completions", [])
        assert client.status is None
        assert (gateway.facts.outcome, gateway.facts.code) == (Outcome.CLIENT_DISCONNECT, 499)


async def test_a_client_that_leaves_after_its_answer_got_it_all():
    end = asyncio.Event()
    replica = answering([STREAM + chunk(says("a", finish="stop") + DONE), end, LAST])
    async with gateway_over(replica) as gateway:
        client = gateway.client()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.post("/v1/completions", STREAMED))
            await settled(lambda: client.ended)  # though the replica has not ended the body yet
            client.gone.set()
            end.set()
        assert gateway.facts.outcome is Outcome.OK
