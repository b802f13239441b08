"""A stream goes on at another replica, where the model is configured so and it can."""

import asyncio
import json
import re

import pytest

from gateway.core.outcome import Outcome
from gateway.core.snapshot import Retries, Timeouts
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    Step,
    answering,
    chunk,
    counts,
    says,
    stream,
)
from tests.gateway.data_gateway import STREAMED, gateway_over

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "prompt": 'say "é"', "stream": True, "max_tokens": 10, "user": "u"}
TRUTH = 'so "far"\n and further'


def body(**fields):
    return json.dumps(ASKED | fields, ensure_ascii=False).encode()


def counted(text, tokens, *, prompt=5, finish=None):
    """Return a chunk with the count so far, as `continuous_usage_stats` asks for it."""
    event = json.loads(says(text, finish=finish)[6:])
    event["usage"] = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + tokens,
        "completion_tokens": tokens,
        "prompt_tokens_details": {"cached_tokens": 2},
    }
    return chunk(b"data: %b\n\n" % json.dumps(event).encode())


SEEN = object()
"""In a script: the client has the first events."""
LOST = STREAM + counted("so ", 1) + counted('"far"\n', 3)
REST = (
    STREAM + counted(" and", 1, prompt=8) + counted(" further", 2, prompt=8, finish="stop")
    + chunk(counts(8, 2)) + chunk(DONE) + LAST
)  # fmt: skip


async def resumed(first=(LOST, Step.CLOSE), second=(REST,), *, asked=None, gateway_is=None):
    """Ask with the first replica preferred; return the client, its replicas and the facts."""
    begun = asyncio.Event()
    script = [begun if step is SEEN else step for step in first]
    replicas = answering(script, dialect="1.2"), answering(list(second), dialect="1.2")
    settings = {"resume": True} | (gateway_is or {})
    async with gateway_over(*replicas, **settings) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(asked or body(), begun=begun)
        gateway.leases.open[1] -= 1
        return client, replicas, gateway.facts


async def test_a_lost_stream_goes_on_at_another_replica_and_is_whole():
    client, (lost, other), facts = await resumed()
    assert client.text == TRUTH
    assert client.body.endswith(DONE)
    assert client.ended
    assert (facts.outcome, facts.code, facts.finish_reasons) == (Outcome.OK, 200, ("stop",))
    assert [attempt.replica for attempt in facts.attempts] == ["r0", "r1"]
    assert [attempt.resumed_after for attempt in facts.attempts] == [None, 2]
    assert facts.retries == ["broken"]
    assert (len(lost.requests), len(other.requests)) == (1, 1)


async def test_the_other_replica_is_asked_for_the_rest_alone():
    _, (lost, other), _ = await resumed()
    wanted = {"include_usage": True, "continuous_usage_stats": True}
    asked = ASKED | {"model": "source", "stream_options": wanted}
    assert lost.requests[0][1] == asked
    assert other.requests[0][1] == asked | {
        "prompt": 'say "é"so "far"\n', "max_tokens": 7
    }  # fmt: skip


async def test_the_join_is_marked_once_and_the_chunks_have_one_identity():
    client, _, _ = await resumed()
    comments = re.findall(rb"^:.*$", client.body, re.MULTILINE)
    assert comments == [b": x-trtgw-resumed after 3 tokens"]
    events = [json.loads(line[6:]) for line in client.body.split(b"\n") if b"data: {" in line]
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1
    assert all("usage" not in event for event in events)  # it was not asked for


async def test_tokens_are_counted_once():
    asked = body(stream_options={"include_usage": True})
    client, _, facts = await resumed(asked=asked)
    *_, last = [json.loads(line[6:]) for line in client.body.split(b"\n") if b"{" in line]
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 5, "total_tokens": 10, "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 2},
    }  # fmt: skip
    assert (facts.input_tokens, facts.output_tokens, facts.cached_tokens) == (5, 5, 2)


async def test_it_is_timed_as_one_stream():
    _, _, facts = await resumed()
    assert facts.content_events == 4
    assert facts.first_content_at == min(a.first_content_at for a in facts.attempts[:1])
    assert facts.attempts[1].first_content_at is None
    assert sum(facts.gaps_s) == pytest.approx(facts.generation_s)


async def test_without_a_limit_of_tokens_none_is_set():
    asked = body(max_tokens=None)
    client, (_, other), _ = await resumed(asked=asked)
    assert client.text == TRUTH
    assert other.requests[0][1].get("max_tokens") is None


async def test_a_stall_is_a_loss_too():
    quick = Timeouts(connect_s=5, first_token_s=30, between_tokens_s=0.1, total_s=60)
    client, _, facts = await resumed((LOST, Step.STALL), gateway_is={"timeouts": quick})
    assert client.text == TRUTH
    assert facts.retries == ["timeout_idle"]


async def test_a_stream_can_be_lost_twice():
    lost = STREAM + counted(" and", 1, prompt=8)
    third = STREAM + counted(" further", 1, finish="stop") + chunk(counts(9, 1)) + chunk(DONE)
    replicas = (
        answering([LOST, Step.CLOSE]),
        answering([lost, Step.CLOSE]),
        answering([third + LAST]),
    )
    retries = Retries(attempts=3, budget_min=100, quarantine_s=0)
    async with gateway_over(*replicas, resume=True, retries=retries) as gateway:
        for column in (1, 2):
            gateway.leases.open[column] += column
        client = await gateway.post(body())
        for column in (1, 2):
            gateway.leases.open[column] -= column
        assert client.text == TRUTH
        assert replicas[2].requests[0][1]["prompt"] == 'say "é"so "far"\n and'
        assert replicas[2].requests[0][1]["max_tokens"] == 6
        assert gateway.facts.output_tokens == 5


NOT_RESUMABLE = {
    "stop": body(stop="x"),
    "logprobs": body(logprobs=1),
    "echo": body(echo=True),
    "seed": body(seed=1),
    "penalty": body(frequency_penalty=1.0),
    "format": body(response_format={"type": "json_object"}),
    "two choices": body(n=2),
    "best of": body(best_of=2),
    "tokens": body(prompt=[1, 2]),
    "two prompts": body(prompt=["a", "b"]),
    "running counts": body(
        stream_options={"include_usage": True, "continuous_usage_stats": True}
    ),
}


@pytest.mark.parametrize("asked", NOT_RESUMABLE.values(), ids=NOT_RESUMABLE)
async def test_what_cannot_be_continued_exactly_ends_in_the_error(asked):
    client, (_, other), facts = await resumed(asked=asked)
    assert client.error["code"] == "upstream_disconnected"
    assert facts.outcome is Outcome.STREAM_BROKEN
    assert other.requests == []


BROKEN = {
    "no counts": [STREAM + chunk(says("so")), Step.CLOSE],
    "no more tokens": [STREAM + counted("so", 10), Step.CLOSE],
    "finished": [STREAM + counted("so", 1, finish="stop"), Step.CLOSE],
    "error": [
        STREAM + counted("so", 1),
        SEEN,
        chunk(b'data: {"error":{"message":"x"}}\n\n') + LAST,
    ],
    "garbage": [STREAM + counted("so", 1), SEEN, chunk(b"data: {\n\n") + LAST],
}


@pytest.mark.parametrize("first", BROKEN.values(), ids=BROKEN)
async def test_an_end_that_leaves_doubt_is_not_continued(first):
    client, (_, other), facts = await resumed(first)
    assert "code" in client.error
    assert facts.outcome is Outcome.STREAM_BROKEN
    assert other.requests == []
    assert not client.body.endswith(DONE)


async def test_it_is_off_unless_it_is_switched_on():
    client, (_, other), _ = await resumed(gateway_is={"resume": False})
    assert client.error["code"] == "upstream_disconnected"
    assert other.requests == []


SECOND = {
    "refused": [b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"],
    "cut": [STREAM + counted(" and", 1), Step.CLOSE],
    "no counts": [STREAM, Step.CLOSE],
}


@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
async def test_where_the_other_fails_too_the_stream_ends_in_the_error(second):
    client, _, facts = await resumed(second=second)
    assert "code" in client.error
    assert client.text in TRUTH
    assert facts.outcome is Outcome.STREAM_BROKEN
    assert not client.body.endswith(DONE)


async def test_what_nobody_saw_is_not_gone_on_from():
    unseen = STREAM + counted("never seen", 2) + chunk(b"data: {\n\n")
    client, (_, other), facts = await resumed([unseen, Step.CLOSE])
    assert client.text == " and further"
    assert other.requests[0][1]["prompt"] == ASKED["prompt"]
    assert (facts.content_events, facts.input_tokens, facts.output_tokens) == (2, 8, 2)
    assert [attempt.resumed_after for attempt in facts.attempts] == [None, None]


async def test_a_stream_that_is_not_lost_is_as_any_other():
    replica = answering([stream("a", "b")])
    async with gateway_over(replica, resume=True) as gateway:
        client = await gateway.post(STREAMED)
        assert (client.text, gateway.facts.retries) == ("ab", [])
