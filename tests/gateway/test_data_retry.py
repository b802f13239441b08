import asyncio

import pytest

from gateway.core.outcome import AttemptOutcome, Outcome
from gateway.core.snapshot import Ejection, Retries
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    Step,
    answering,
    chunk,
    head,
    reply,
    says,
    settled,
    stream,
)
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio

NEVER = Ejection(consecutive=10**6, over_requests=10**6, failure_share=1.0)
ROLE = b'data: {"choices":[{"index":0,"text":"","finish_reason":null}]}\n\n'
ERROR = b'data: {"error": {"message": "CUDA", "type": "server_error"}}\n\n'
FAULTS = {
    "closed": [Step.CLOSE],
    "reset": [Step.RESET],
    "no http": [b"garbage\r\n\r\n", Step.STALL],
    "503": [reply(b"{}", 503)],
    "500": [head(500, more=b"content-length: 0\r\n")],
    "401": [reply(b"{}", 401)],
    "engine's 400": [reply(b'{"object":"error","message":"CUDA error","code":400}', 400)],
    "head cut": [b"HTTP/1.1 200 OK\r\ncontent-", Step.CLOSE],
}
STREAM_FAULTS = {
    "empty": [STREAM + LAST],
    "cut": [STREAM, Step.CLOSE],
    "cut after the role": [STREAM + chunk(ROLE), Step.CLOSE],
    "reset after the role": [STREAM + chunk(ROLE), Step.RESET],
    "done without a finish": [STREAM + chunk(ROLE) + chunk(DONE) + LAST],
    "garbage": [STREAM + chunk(b"data: garbage\n\n") + LAST],
    "error": [STREAM + chunk(ROLE) + chunk(ERROR) + chunk(DONE) + LAST],
    "another choice": [STREAM + chunk(says("x", index=3)) + LAST],
    "half an event": [STREAM + chunk(says("x")[:-1]) + LAST],
    "content and error in one": [STREAM + chunk(says("x") + ERROR) + LAST],
}
WHOLE_FAULTS = {
    "null": [reply(b"null")],
    "no json": [reply(b"<html>")],
    "no choices": [reply(b'{"choices":[]}')],
    "unfinished": [reply(b'{"choices":[{"index":0,"text":"x","finish_reason":null}]}')],
    "error": [reply(b'{"error":{"message":"x"}}')],
    "not utf-8": [reply(b'{"choices":[{"index":0,"text":"\xff","finish_reason":"stop"}]}')],
    "short": [reply()[:-5], Step.CLOSE],
}


def cases(*tables):
    merged = {name: script for table in tables for name, script in table.items()}
    return pytest.mark.parametrize("fault", merged.values(), ids=merged)


@cases(FAULTS, STREAM_FAULTS)
async def test_a_stream_that_fails_before_content_goes_to_another_replica_unseen(fault):
    bad, good = answering(fault), answering([stream("a", "b")])
    async with gateway_over(bad, good) as gateway:
        gateway.leases.open[1] += 1  # so the bad one is tried first
        client = await gateway.post(STREAMED)
        gateway.leases.open[1] -= 1
        assert (client.status, client.text) == (200, "ab")
        assert client.body.endswith(DONE)
        assert client.headers[b"x-trtgw-attempts"] == b"2"
        assert client.headers[b"x-trtgw-replica"] == b"r1"
        assert (len(bad.requests), len(good.requests)) == (1, 1)
        assert gateway.failed == ["r0"]
        facts = gateway.facts
        assert facts.outcome is Outcome.OK
        assert [a.replica for a in facts.attempts] == ["r0", "r1"]
        assert facts.attempts[1].outcome is AttemptOutcome.OK
        assert len(facts.retries) == 1
        assert not facts.retries_exhausted
        await settled(lambda: bad.open <= 1)


@cases(FAULTS, WHOLE_FAULTS)
async def test_an_answer_that_fails_goes_to_another_replica_unseen(fault):
    bad, good = answering(fault), answering([reply()])
    async with gateway_over(bad, good) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post()
        gateway.leases.open[1] -= 1
        assert client.status == 200
        assert b'"whole"' in client.body
        assert (len(bad.requests), len(good.requests)) == (1, 1)


@cases(FAULTS)
async def test_the_same_replica_is_never_asked_twice(fault):
    alone = answering(fault)
    async with gateway_over(alone, retries=Retries(attempts=5)) as gateway:
        client = await gateway.post(STREAMED)
        assert client.status == 502
        assert client.headers[b"x-should-retry"] == b"false"
        assert b"CUDA" not in client.body
        assert len(alone.requests) == 1
        assert gateway.facts.retries_exhausted


async def test_no_more_replicas_are_asked_than_the_model_allows():
    many = [answering(FAULTS["503"]) for _ in range(4)]
    async with gateway_over(*many, retries=Retries(attempts=3)) as gateway:
        client = await gateway.post(STREAMED)
        assert (client.status, client.error["code"]) == (502, "upstream_error")
        assert sum(len(replica.requests) for replica in many) == 3
        assert sorted(gateway.failed) == sorted({a.replica for a in gateway.facts.attempts})
        assert client.headers[b"x-trtgw-attempts"] == b"3"


async def calls_where_all_fail(retries, requests=100):
    """Return how many calls two replicas get that fail every request."""
    both = [answering(FAULTS["503"]) for _ in range(2)]
    async with gateway_over(*both, retries=retries) as gateway:
        for _ in range(requests):
            client = await gateway.post(STREAMED)
            assert (client.status, client.error["code"]) == (502, "upstream_error")
            assert client.headers[b"x-should-retry"] == b"false"
            assert gateway.facts.retries_exhausted
    return sum(len(replica.requests) for replica in both)


async def test_where_every_replica_fails_a_fifth_of_the_requests_is_retried():
    assert await calls_where_all_fail(Retries(budget_min=0)) == 120
    assert await calls_where_all_fail(Retries()) == 123


async def test_without_a_budget_every_one_would_be():
    assert await calls_where_all_fail(Retries(budget_share=1.0)) == 200


async def test_retries_that_are_answered_are_not_counted():
    bad, good = answering(FAULTS["503"]), answering([stream("a")])
    budget = Retries(budget_min=1)
    async with gateway_over(bad, good, retries=budget, ejection=NEVER) as gateway:
        gateway.leases.open[1] += 1
        for _ in range(20):
            assert (await gateway.post(STREAMED)).text == "a"
        gateway.leases.open[1] -= 1
        assert len(bad.requests) == 20


async def test_a_replica_that_cannot_be_reached_is_passed_over():
    good = answering([stream("a")])
    async with answering().listening() as gone:
        pass
    async with gateway_over(good, ejection=Ejection(slow_start_s=0)) as gateway:
        gone.name, gone.column = "gone", 5
        gateway.leases.open[0] += 1
        gateway.replicas.append(gone)
        gateway.publish()
        client = await gateway.post(STREAMED)
        gateway.leases.open[0] -= 1
        assert client.text == "a"
        assert gateway.facts.attempts[0].outcome is AttemptOutcome.CONNECT_ERROR


async def test_facts_speak_only_of_what_the_client_got():
    bad = answering(STREAM_FAULTS["content and error in one"])
    async with gateway_over(bad, answering([Step.CLOSE])) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(STREAMED)
        gateway.leases.open[1] -= 1
        assert client.status == 502
        assert (gateway.facts.ttft_s, gateway.facts.content_events) == (None, 0)


MID_STREAM = {
    "cut": ([Step.CLOSE], "upstream_disconnected"),
    "reset": ([Step.RESET], "upstream_disconnected"),
    "ended": ([LAST], "upstream_disconnected"),
    "done without a finish": ([chunk(DONE) + LAST], "upstream_disconnected"),
    "garbage": ([chunk(b"data: garbage\n\n") + LAST], "upstream_protocol_error"),
    "not utf-8": (
        [chunk(b'data: {"choices":[{"text":"\xff"}]}\n\n')],
        "upstream_protocol_error",
    ),
    "error": ([chunk(ERROR) + chunk(DONE) + chunk(DONE) + LAST], "upstream_error"),
    "bad framing": ([b"zz\r\n", Step.STALL], "upstream_protocol_error"),
    "another choice": ([chunk(says("x", index=1)) + LAST], "upstream_protocol_error"),
}


@pytest.mark.parametrize(("rest", "code"), MID_STREAM.values(), ids=MID_STREAM)
async def test_a_failure_after_content_ends_the_stream_and_asks_nobody_else(rest, code):
    seen = asyncio.Event()
    bad = answering([STREAM + chunk(says("a")), seen, *rest])
    other = answering([stream("b")])
    async with gateway_over(bad, other) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(STREAMED, begun=seen)
        gateway.leases.open[1] -= 1
        assert (client.status, client.text) == (200, "a")
        assert client.error["code"] == code
        assert client.error["type"] == "server_error"
        assert "CUDA" not in client.error["message"]
        assert b"[DONE]" not in client.body
        assert other.requests == []
        facts = gateway.facts
        assert (facts.outcome, facts.code) == (Outcome.STREAM_BROKEN, 200)
        assert facts.error_code == code
        assert facts.content_events == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b'{"error":"Invalid grammar"}', 400, "invalid_request", "response_format"),
        (
            b'{"object":"error","message":"[{\'loc\': (\'body\', \'seed\')}]"}',
            400,
            "invalid_request",
            "seed",
        ),
        (b'{"error":"prompt too long"}', 400, "context_length_exceeded", None),
        (b'{"error":"x is not supported"}', 400, "unsupported_by_replica", None),
    ],
)
async def test_what_the_client_did_wrong_is_not_tried_elsewhere(body, status, code, param):
    first, other = answering([reply(body, 400)]), answering([stream("b")])
    async with gateway_over(first, other) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(STREAMED)
        gateway.leases.open[1] -= 1
        assert (client.status, client.error["code"]) == (status, code)
        assert client.error["param"] == param
        assert other.requests == []
        assert gateway.failed == []  # nor is it the replica's fault
        assert gateway.facts.outcome is Outcome.CLIENT_ERROR
        await gateway.post(COMPLETION)
        assert first.connections + other.connections <= 2  # its connection was kept


async def test_a_second_attempt_goes_to_the_replica_that_is_least_busy_then():
    replicas = [answering(FAULTS["503"]), answering([stream("b")]), answering([stream("c")])]
    async with gateway_over(*replicas) as gateway:
        open_ = gateway.leases.open
        open_.update({1: 1, 2: 2})
        gateway.on_failure = lambda: open_.update({1: 3})  # others came in the meantime
        client = await gateway.post(STREAMED)
        open_.subtract({1: 4, 2: 2})
        assert client.text == "c"
