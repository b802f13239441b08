import asyncio

import pytest

from gateway.core.outcome import AttemptOutcome, Outcome
from gateway.core.snapshot import Timeouts
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
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio

ROLE = chunk(b'data: {"choices":[{"index":0,"text":""}]}\n\n')
PING = b": ping\n\n"
SILENT = [[Step.STALL], [STREAM, Step.STALL], [STREAM + ROLE, Step.STALL]]


def ids(script):
    return ["no head", "no event", "only a role"][SILENT.index(script)]


@pytest.mark.parametrize("script", SILENT, ids=ids)
async def test_a_replica_without_a_first_token_in_time_is_left_for_another(script):
    silent, good = answering(script), answering([stream("b")])
    async with gateway_over(silent, good, timeouts=Timeouts(first_token_s=0.1)) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(STREAMED)
        gateway.leases.open[1] -= 1
        if len(good.requests) == 1 and client.status == 200:
            assert client.text == "b"
        await settled(lambda: silent.left == 1)
        assert gateway.facts.attempts[0].outcome is AttemptOutcome.TIMEOUT_FIRST_BYTE
        assert gateway.failed[0] == "r0"


@pytest.mark.parametrize("script", SILENT, ids=ids)
async def test_without_another_replica_the_client_is_told(script):
    async with gateway_over(
        answering(script), timeouts=Timeouts(first_token_s=0.05)
    ) as gateway:
        client = await gateway.post(STREAMED)
        assert (client.status, client.error["code"]) == (504, "upstream_timeout")
        assert "no token within 0.05" in client.error["message"]
        assert client.headers[b"x-should-retry"] == b"false"
        assert gateway.facts.outcome is Outcome.TIMEOUT


async def test_a_stream_that_falls_silent_ends_in_an_error_event():
    silent = answering([STREAM + chunk(says("a")), Step.STALL])
    other = answering([stream("b")])
    async with gateway_over(silent, other, timeouts=Timeouts(between_tokens_s=0.1)) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(STREAMED)
        gateway.leases.open[1] -= 1
        assert (client.status, client.text) == (200, "a")
        assert client.error["code"] == "upstream_stalled"
        assert "nothing for 0.1 s" in client.error["message"]
        assert other.requests == []
        await settled(lambda: silent.left == 1)
        assert gateway.facts.attempts[0].outcome is AttemptOutcome.TIMEOUT_IDLE
        assert gateway.facts.outcome is Outcome.STREAM_BROKEN


async def test_a_stream_may_not_take_longer_than_all_its_time():
    pace = [step for _ in range(400) for step in (chunk(says("a")), chunk(b": quiet\n\n"))]
    slow = answering([STREAM, *pace, Step.STALL])
    async with gateway_over(slow, timeouts=Timeouts(total_s=0.3)) as gateway:
        client = await gateway.post(STREAMED)
        assert client.error["code"] == "upstream_stalled"
        assert "longer than the 0.3 s allowed" in client.error["message"]


@pytest.mark.parametrize(
    "script", [[Step.STALL], [reply()[:-5], Step.STALL]], ids=["no head", "half a body"]
)
async def test_an_answer_that_takes_all_its_time_is_not_begun_again(script):
    slow, other = answering(script), answering([reply()])
    limits = Timeouts(total_unstreamed_s=0.1)
    async with gateway_over(slow, other, timeouts=limits) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(COMPLETION)
        gateway.leases.open[1] -= 1
        assert (client.status, client.error["code"]) == (504, "upstream_timeout")
        assert "longer than the 0.1 s allowed" in client.error["message"]
        assert other.requests == []  # there would be no time left for it
        assert gateway.failed == ["r0"]
        await settled(lambda: slow.left == 1)


async def test_an_answer_that_is_not_streamed_has_no_limit_to_its_first_token():
    go = asyncio.Event()
    replica = answering([go, reply()])
    limits = Timeouts(first_token_s=0.01, header_commit_s=0.01, ping_s=0.01)
    async with gateway_over(replica, timeouts=limits) as gateway:
        asyncio.get_running_loop().call_later(0.2, go.set)
        client = await gateway.post(COMPLETION)
        assert client.status == 200
        assert PING not in client.body


@pytest.mark.parametrize("script", SILENT, ids=ids)
async def test_a_client_that_waits_long_gets_signs_of_life(script):
    go = asyncio.Event()
    begun, rest = script[:-1], chunk(says("a", finish="stop") + DONE) + LAST
    replica = answering([*begun, go, *([] if begun else [STREAM]), rest])
    async with gateway_over(
        replica, timeouts=Timeouts(header_commit_s=0.05, ping_s=0.05)
    ) as gateway:
        client = gateway.client()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.post("/v1/completions", STREAMED))
            await settled(lambda: client.chunks.count(PING) >= 3)
            go.set()
        assert client.status == 200
        assert client.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert client.text == "a"
        assert client.body.endswith(DONE)
        assert gateway.facts.outcome is Outcome.OK


async def test_after_a_sign_of_life_another_replica_may_still_be_tried():
    go = asyncio.Event()
    bad, good = answering([STREAM, go, Step.CLOSE]), answering([stream("b")])
    async with gateway_over(
        bad, good, timeouts=Timeouts(header_commit_s=0.01, ping_s=60)
    ) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(STREAMED, begun=go)
        gateway.leases.open[1] -= 1
        assert client.chunks[0] == PING
        assert client.chunks.count(PING) == 1
        assert (client.status, client.text) == (200, "b")
        assert client.body.endswith(DONE)


async def test_after_a_sign_of_life_a_failure_is_told_in_the_stream():
    go = asyncio.Event()
    bad = answering([STREAM, go, Step.CLOSE])
    async with gateway_over(bad, timeouts=Timeouts(header_commit_s=0.01)) as gateway:
        client = await gateway.post(STREAMED, begun=go)
        assert client.status == 200
        assert client.error["code"] == "upstream_disconnected"
        assert b"[DONE]" not in client.body
        assert (gateway.facts.outcome, gateway.facts.code) == (Outcome.UPSTREAM_ERROR, 200)


async def test_the_end_of_the_body_is_not_waited_for_before_the_client_has_its_end():
    replica = answering([STREAM + chunk(says("a", finish="stop") + DONE), Step.STALL])
    async with gateway_over(replica) as gateway:
        client = gateway.client()
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(client.post("/v1/completions", STREAMED))
            await settled(lambda: client.ended)
            assert not asked.done()  # it still hopes for a connection to use again
        await settled(lambda: replica.left == 1)
        assert gateway.facts.outcome is Outcome.OK


@pytest.mark.parametrize("body", [STREAMED, COMPLETION], ids=["streamed", "whole"])
async def test_a_client_that_will_hang_up_is_told_before_and_no_replica_is_blamed(body):
    silent, other = answering([Step.STALL]), answering([stream("b")])
    async with gateway_over(silent, other) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(body, headers={"x-stainless-read-timeout": "0.2"})
        gateway.leases.open[1] -= 1
        assert (client.status, client.error["code"]) == (504, "upstream_timeout")
        assert client.headers[b"x-should-retry"] == b"false"
        assert gateway.failed == []
        assert other.requests == []
        assert gateway.facts.attempts[0].outcome is AttemptOutcome.CANCELLED
        await settled(lambda: silent.left == 1)


async def test_a_stream_goes_on_past_what_its_client_waits_for_each_read():
    later = asyncio.Event()
    rest = chunk(says("b", finish="stop")) + chunk(DONE) + LAST
    slow = answering([STREAM + chunk(says("a")), later, rest])
    async with gateway_over(slow) as gateway:
        asyncio.get_running_loop().call_later(0.3, later.set)
        client = await gateway.post(STREAMED, headers={"x-stainless-read-timeout": "0.2"})
        assert client.text == "ab"
