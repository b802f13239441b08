"""What holds of completions and chat holds of every kind: one path, and one law of endings."""

import asyncio
import json

import pytest

from gateway.core.outcome import AttemptOutcome, Outcome
from gateway.core.snapshot import Timeouts
from tests.fakes.replica import LAST, STREAM, Step, answering, chunk, reply, settled
from tests.gateway.data_gateway import gateway_over
from tests.gateway.kinds import ALL, EMBEDDINGS, RESPONSES, TOKENIZE, TYPED, wire
from tests.unit.core.typed_transcripts import events

pytestmark = pytest.mark.anyio

every = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
typed = pytest.mark.parametrize("kind", TYPED, ids=lambda kind: kind.name)
ERROR = b'event: error\ndata: {"type":"error","error":{"message":"CUDA"}}\n\n'
GARBAGE = b"data: garbage\n\n"


def newest(*scripts):
    return answering(*scripts, dialect="main")


@typed
async def test_a_stream_reaches_the_client_whole(kind):
    replica = newest([kind.answer])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(kind.streamed, kind.path)
        assert client.status == 200
        assert client.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        got, sent = events(client.body), events(kind.stream)
        assert [each["type"] for each in got] == [each["type"] for each in sent]
        assert client.ended
        assert b"[DONE]" not in client.body
        assert b"source" not in client.body
        assert replica.asked == [kind.asked]
        assert replica.requests[0][1] == json.loads(kind.body(model="source", stream=True))
        facts = gateway.facts
        assert (facts.outcome, facts.code, facts.stream) == (Outcome.OK, 200, True)
        assert (facts.operation, facts.content_events) == (kind.name, 2)
        assert (facts.input_tokens, facts.output_tokens, facts.cached_tokens) == (9, 3, 4)
        assert facts.ttft_s is not None
        assert len(facts.finish_reasons) == 1


@typed
async def test_a_stream_cut_anywhere_into_reads_is_the_same(kind):
    pieces = [kind.stream[i : i + 7] for i in range(0, len(kind.stream), 7)]
    replica = newest([kind.answer], [wire(*pieces)])
    async with gateway_over(replica) as gateway:
        whole = await gateway.post(kind.streamed, kind.path)
        cut = await gateway.post(kind.streamed, kind.path)
        assert events(cut.body) == events(whole.body)


@every
async def test_an_answer_that_is_not_streamed_is_whole_and_by_the_clients_names(kind):
    replica = newest([kind.reply])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(kind.body(model="alias"), kind.path)
        assert client.status == 200
        assert client.headers[b"content-type"] == b"application/json"
        assert client.headers[b"x-trtgw-replica"] == b"r0"
        got, sent = json.loads(client.body), dict(kind.whole)
        if kind is not TOKENIZE:
            assert (got.pop("model"), sent.pop("model")) == ("alias", "source")
        if kind is RESPONSES:
            assert got.pop("id") != sent.pop("id")
        assert got == sent
        assert replica.asked == [kind.asked]
        facts = gateway.facts
        assert (facts.operation, facts.outcome, facts.model) == (kind.name, Outcome.OK, "m")
        assert facts.input_tokens == {"embeddings": 2, "tokenize": None}.get(kind.name, 9)


CUTS = {
    "closed": [Step.CLOSE],
    "reset": [Step.RESET],
    "ended": [LAST],
    "done": [chunk(b"data: [DONE]\n\n") + LAST],
}
FAULTS = {
    "garbage": ([chunk(GARBAGE) + LAST], "upstream_protocol_error"),
    "error": ([chunk(ERROR) + LAST], "upstream_error"),
    "half an event": ([chunk(GARBAGE[:-1]) + LAST], "upstream_disconnected"),
    **{name: (rest, "upstream_disconnected") for name, rest in CUTS.items()},
}
faults = pytest.mark.parametrize(("rest", "code"), FAULTS.values(), ids=FAULTS)


@typed
@faults
async def test_a_stream_that_fails_after_content_ends_in_its_kinds_error(kind, rest, code):
    seen = asyncio.Event()
    bad = newest([wire(kind.begins + kind.content, end=b""), seen, *rest])
    other = newest([kind.answer])
    async with gateway_over(bad, other) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(kind.streamed, kind.path, begun=seen)
        gateway.leases.open[1] -= 1
        assert client.status == 200
        *before, last = events(client.body)
        assert (last["type"], last["error"]["code"]) == ("error", code)
        assert "CUDA" not in last["error"]["message"]
        assert events(kind.ends)[0]["type"] not in {each["type"] for each in before}
        assert client.ended
        assert other.requests == []
        facts = gateway.facts
        assert (facts.outcome, facts.error_code) == (Outcome.STREAM_BROKEN, code)
        assert gateway.failed == ["r0"]


@typed
@faults
async def test_a_stream_that_fails_before_content_goes_to_another_replica_unseen(
    kind, rest, code
):
    bad = newest([wire(kind.begins, end=b""), *rest])
    good = newest([kind.answer])
    async with gateway_over(bad, good) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(kind.streamed, kind.path)
        gateway.leases.open[1] -= 1
        assert [e["type"] for e in events(client.body)] == [
            e["type"] for e in events(kind.stream)
        ]
        assert client.headers[b"x-trtgw-attempts"] == b"2"
        assert (len(bad.requests), len(good.requests)) == (1, 1)
        facts = gateway.facts
        assert facts.outcome is Outcome.OK
        assert (facts.attempts[0].error_code, facts.attempts[1].outcome) == (
            code,
            AttemptOutcome.OK,
        )


NO_ANSWERS = {
    "null": reply(b"null"),
    "no json": reply(b"<html>"),
    "an object": reply(b"{}"),
    "an error": reply(b'{"error":{"message":"CUDA"}}'),
    "503": reply(b"{}", 503),
}


@every
@pytest.mark.parametrize("bad", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_what_is_no_answer_is_asked_of_another_replica(kind, bad):
    first, good = newest([bad]), newest([kind.reply])
    async with gateway_over(first, good) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(kind.body(), kind.path)
        gateway.leases.open[1] -= 1
        assert client.status == 200
        assert (len(first.requests), len(good.requests)) == (1, 1)


async def test_the_error_in_a_stream_of_responses_has_the_number_after_the_last_event():
    seen = asyncio.Event()
    numbered = (
        b'event: x\ndata: {"type":"response.output_text.delta","delta":"a",'
        b'"sequence_number":41}\n\n'
    )
    replica = newest([wire(RESPONSES.begins + numbered, end=b""), seen, Step.CLOSE])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(RESPONSES.streamed, RESPONSES.path, begun=seen)
        assert events(client.body)[-1]["sequence_number"] == 42


@typed
async def test_a_client_that_was_pinged_is_told_in_its_stream(kind):
    pinged = asyncio.Event()
    replica = newest([wire(kind.begins, end=b""), pinged, Step.CLOSE])
    timeouts = Timeouts(header_commit_s=0.05, ping_s=0.05)
    async with gateway_over(replica, timeouts=timeouts) as gateway:
        client = await gateway.post(kind.streamed, kind.path, begun=pinged)
        pings, _, rest = client.body.rpartition(b": ping\n\n")
        assert pings.replace(b": ping\n\n", b"") == b""
        (told,) = events(rest)
        assert told["error"]["code"] == "upstream_disconnected"
        assert told.get("sequence_number", 0) == 0


@typed
@pytest.mark.parametrize("begun", [True, False], ids=["mid-stream", "in prefill"])
async def test_a_client_that_leaves_closes_the_connection_to_the_replica(kind, begun):
    sent = kind.begins + (kind.content if begun else b"")
    replica = newest([wire(sent, end=b""), Step.STALL])
    async with gateway_over(replica) as gateway:
        client = gateway.client()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.post(kind.path, kind.streamed))
            await settled(lambda: client.chunks if begun else replica.requests)
            client.gone.set()
        await settled(lambda: replica.left == 1)
        facts = gateway.facts
        assert facts.outcome is Outcome.CLIENT_DISCONNECT
        assert facts.code == (200 if begun else 499)
        assert gateway.failed == []


@every
async def test_over_a_real_socket_each_kind_is_served_again_and_again(kind):
    scripts = [[kind.reply]] + ([[kind.answer]] if kind.stream else []) + [[kind.reply]]
    replica = newest(*scripts)
    async with gateway_over(replica) as gateway, gateway.serving() as http:
        first = await http.post(kind.path, content=kind.body())
        if kind.stream:
            streamed = await http.post(kind.path, content=kind.streamed)
            assert len(events(streamed.content)) == len(events(kind.stream))
        again = await http.post(kind.path, content=kind.body())
        assert first.json() == again.json()
        assert replica.connections == 1


@every
async def test_an_old_release_is_never_asked_for_what_it_lacks(kind):
    old = answering([kind.reply], dialect="1.0")
    async with gateway_over(old) as gateway:
        client = await gateway.post(kind.body(), kind.path)
        assert (client.status, client.error["code"]) == (400, "unsupported_by_replica")
        assert client.error["message"] == (
            f"{kind.path} asks for what this model's replicas (TensorRT-LLM 1.0) lack"
        )
        assert old.requests == []


NO_ROUTES = {
    "404": reply(b'{"detail":"Not Found"}', 404),
    "405": reply(b'{"detail":"Method Not Allowed"}', 405),
}


@every
@pytest.mark.parametrize("lacking", NO_ROUTES.values(), ids=NO_ROUTES)
async def test_a_replica_that_lacks_the_endpoint_is_no_failure_and_another_may_have_it(
    kind, lacking
):
    first, other = newest([lacking]), newest([kind.reply], [lacking])
    async with gateway_over(first, other) as gateway:
        gateway.leases.open[1] += 1
        client = await gateway.post(kind.body(), kind.path)
        assert client.status == 200
        client = await gateway.post(kind.body(), kind.path)
        gateway.leases.open[1] -= 1
        assert (client.status, client.error["code"]) == (400, "unsupported_by_replica")
        assert client.error["message"] == f"the model's replicas do not serve POST {kind.path}"
        assert gateway.failed == []
        assert not gateway.facts.retries_exhausted
        assert gateway.facts.outcome is Outcome.CLIENT_ERROR


@every
async def test_a_full_queue_of_a_replica_is_tried_elsewhere_and_then_told_as_a_503(kind):
    busy, free = newest([reply(b'{"error":"full"}', 429)]), newest([kind.reply])
    async with gateway_over(busy, free) as gateway:
        gateway.leases.open[1] += 1
        assert (await gateway.post(kind.body(), kind.path)).status == 200
        gateway.leases.open[1] -= 1
        gateway.publish(replicas=(busy.view,))
        client = await gateway.post(kind.body(), kind.path)
        assert (client.status, client.error["code"]) == (503, "server_overloaded")
        assert client.headers[b"retry-after"] == b"1"


@pytest.mark.parametrize("count", [1, 3])
async def test_there_is_one_embedding_for_each_input_or_no_answer(count):
    vectors = [{"index": at, "embedding": "AAAA"} for at in range(3)]
    replica = newest([reply(json.dumps(EMBEDDINGS.whole | {"data": vectors}).encode())])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(EMBEDDINGS.body(input=["a"] * count), EMBEDDINGS.path)
        assert client.status == (200 if count == 3 else 502)
        if count == 3:
            assert json.loads(client.body)["data"] == vectors


async def test_a_stream_without_any_content_is_an_answer_too():
    sent = RESPONSES.begins + RESPONSES.ends
    replica = newest([STREAM + chunk(sent) + LAST])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(RESPONSES.streamed, RESPONSES.path)
        assert events(client.body)[-1]["type"] == "response.completed"
        assert (gateway.facts.outcome, gateway.facts.ttft_s) == (Outcome.OK, None)
