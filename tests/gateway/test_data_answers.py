import asyncio
import json
import re

import pytest

from gateway.core.outcome import Outcome
from gateway.core.snapshot import Limits
from tests.fakes.replica import (
    DONE,
    LAST,
    STREAM,
    Step,
    answering,
    chunk,
    counts,
    reply,
    says,
    settled,
    stream,
)
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio

CHAT = b'{"model":"m","messages":[{"role":"user","content":"\\"model\\":\\"x\\""}]}'


def get(gateway, path, **known):
    return gateway.post(b"", path, method="GET", **known)


@pytest.mark.parametrize("name", ["m", "alias", "with/slash"])
async def test_names_are_the_gateways_towards_clients_and_the_sources_towards_replicas(name):
    replica = answering([reply()], [stream("a")])
    async with gateway_over(replica) as gateway:
        body = json.dumps({"prompt": "p", "model": name}).encode()
        whole = json.loads((await gateway.post(body)).body)
        assert whole["model"] == name
        assert re.fullmatch("cmpl-[0-9a-f]{32}", whole["id"])
        assert (whole["object"], whole["created"]) == ("text_completion", 1_800_000_000)
        client = await gateway.post(body[:-1] + b',"stream":true}')
        event = json.loads(client.chunks[0].split(b"\n")[0][6:])
        assert event["model"] == name
        assert event["id"] != whole["id"]
        assert [sent["model"] for _, sent in replica.requests] == ["source", "source"]
        assert gateway.facts.model == "m"


async def test_a_chat_goes_to_its_own_route_unchanged():
    answer = reply(
        b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"source",'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},'
        b'"finish_reason":"stop"}]}'
    )
    replica = answering([answer])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(CHAT, "/v1/chat/completions")
        assert json.loads(client.body)["id"].startswith("chatcmpl-")
        start, sent = replica.requests[0]
        assert start.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
        assert sent == json.loads(CHAT) | {"model": "source"}
        assert gateway.facts.operation == "chat"


async def test_the_ids_of_a_request_go_in_and_out():
    replica = answering([reply()])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(headers={"x-request-id": "mine-1"})
        assert client.headers[b"x-request-id"] == b"mine-1"
        assert b"x-request-id: mine-1\r\n" in replica.requests[0][0]
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await gateway.post(headers={"traceparent": trace, "tracestate": "a=b"})
        assert b"traceparent: %b\r\n" % trace.encode() in replica.requests[1][0]
        assert b"tracestate: a=b\r\n" in replica.requests[1][0]


@pytest.mark.parametrize("sent", ["", "x" * 129, "a\r\nb: c", "\xe9", "\x01"])
async def test_a_request_id_that_is_not_fit_is_replaced(sent):
    replica = answering([reply()])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(headers={"x-request-id": sent})
        assert re.fullmatch(b"req-[0-9a-f]{32}", client.headers[b"x-request-id"])
        assert client.headers[b"x-request-id"] in replica.requests[0][0]


async def test_every_answer_says_where_it_came_from():
    async with gateway_over(answering([reply()])) as gateway:
        client = await gateway.post()
        assert client.headers[b"content-type"] == b"application/json"
        assert client.headers[b"content-length"] == b"%d" % len(client.body)
        assert client.headers[b"x-trtgw-replica"] == b"r0"
        assert client.headers[b"x-trtgw-attempts"] == b"1"
        assert float(client.headers[b"x-trtgw-overhead-ms"]) >= 0
        gateway.known["expose_replica"] = False
        gateway.publish()
        assert b"x-trtgw-replica" not in (await gateway.post()).headers


async def test_a_stream_is_measured_and_its_usage_kept_back():
    replica = answering([stream("a", "b", "c")])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(STREAMED)
        assert client.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert client.headers[b"cache-control"] == b"no-cache"
        assert b"content-length" not in client.headers
        assert client.text == "abc"
        assert b'"choices":[]' not in client.body.replace(b" ", b"")
        facts = gateway.facts
        assert (facts.input_tokens, facts.output_tokens) == (1, 3)
        assert (facts.content_events, facts.finish_reasons) == (3, ("stop",))
        assert len(facts.gaps_s) == 2
        assert sum(facts.gaps_s) == pytest.approx(facts.generation_s)
        assert facts.started_at < facts.body_read_at <= facts.sent_at < facts.first_content_at
        assert facts.first_content_at <= facts.last_content_at <= facts.ended_at
        assert facts.first_relay_s >= 0
        assert facts.attempts[0].first_content_at == facts.first_content_at
        assert facts.attempts[0].ended_at <= facts.ended_at
        assert gateway.recorder.running == 1


async def test_usage_reaches_the_client_that_asked_for_it():
    replica = answering([stream("a")])
    async with gateway_over(replica) as gateway:
        client = await gateway.post(
            STREAMED[:-1] + b',"stream_options":{"include_usage":true}}'
        )
        usage = json.loads(client.body.split(b"\n\n")[-3][6:])
        assert usage["choices"] == []
        assert usage["usage"]["total_tokens"] == 2


async def test_several_prompts_with_several_choices_are_all_waited_for():
    order = [2, 0, 3, 1]
    events = [says(f"<{i}>", index=i) for i in order] + [
        says("", index=i, finish="stop") for i in order
    ]
    wire = b"".join(map(chunk, [*events, counts(2, 3), counts(4, 5), DONE])) + LAST
    replica = answering([STREAM + wire], dialect="1.2")
    body = b'{"model":"m","prompt":["p","q"],"n":2,"stream":true}'
    async with gateway_over(replica) as gateway:
        client = await gateway.post(body)
        assert client.text == "<2><0><3><1>"
        assert client.body.endswith(DONE)
        facts = gateway.facts
        assert (facts.choices, facts.input_tokens, facts.output_tokens) == (4, 6, 8)
        assert facts.finish_reasons == ("stop",) * 4


async def test_a_default_limit_of_tokens_is_sent_where_the_client_set_none():
    replica = answering([reply()])
    async with gateway_over(replica, limits=Limits(default_max_tokens=77)) as gateway:
        await gateway.post()
        await gateway.post(COMPLETION[:-1] + b',"max_tokens":5}')
        assert [sent["max_tokens"] for _, sent in replica.requests] == [77, 5]


async def test_many_streams_at_once_stay_apart():
    scripts = [[stream(*(f"{i}.{j} " for j in range(20)))] for i in range(24)]
    replica = answering(*scripts)
    async with gateway_over(replica) as gateway, gateway.serving() as http:
        answers = await asyncio.gather(
            *[http.post("/v1/completions", content=STREAMED) for _ in scripts]
        )
        seen = set()
        for answer in answers:
            events = [
                line[6:] for line in answer.text.split("\n") if line.startswith("data: {")
            ]
            words = "".join(json.loads(e)["choices"][0]["text"] for e in events).split()
            which = words[0].partition(".")[0]
            assert words == [f"{which}.{j}" for j in range(20)]
            assert answer.text.endswith("data: [DONE]\n\n")
            assert len({json.loads(event)["id"] for event in events}) == 1
            seen.add(which)
        assert len(seen) == len(scripts)


async def test_connections_to_clients_and_replicas_are_used_again():
    replica = answering([reply()], [stream("a")], [reply()])
    async with gateway_over(replica) as gateway, gateway.serving() as http:
        for body in (COMPLETION, STREAMED, COMPLETION):
            answer = await http.post("/v1/completions", content=body)
            assert answer.status_code == 200
        assert replica.connections == 1


async def test_models_are_listed_under_their_names():
    async with gateway_over(answering()) as gateway:
        models = json.loads((await get(gateway, "/v1/models")).body)
        card = {"id": "m", "object": "model", "created": 1, "owned_by": "trtllm-gateway"}
        assert models == {"object": "list", "data": [card]}
        for path, name in (
            ("/v1/models/m", "m"),
            ("/v1/models/alias", "alias"),
            ("/v1/models/with/slash", "with/slash"),
            ("/v1/models/with%2Fslash", "with/slash"),
        ):
            client = await get(gateway, path)
            assert client.status == 200
            assert json.loads(client.body) == card | {"id": name}


async def test_models_are_found_over_a_real_socket():
    async with gateway_over(answering()) as gateway, gateway.serving() as http:
        for path in ("/v1/models/with/slash", "/v1/models/with%2Fslash?x=1"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["id"]) == (200, "with/slash")
        assert (await http.get("/v1/models/")).json()["object"] == "list"


async def test_health_tells_who_can_be_served():
    async with gateway_over(answering()) as gateway:
        for path in ("/health", "/live", "/ready"):
            assert (await get(gateway, path)).status == 200
        gateway.publish(replicas=())
        client = await get(gateway, "/health")
        assert client.status == 503
        assert json.loads(client.body)["models"] == {"m": {"ready_replicas": 0}}
        gateway.known["draining"] = True
        gateway.publish()
        assert (await get(gateway, "/ready")).status == 503
        assert (await get(gateway, "/live")).status == 200


async def test_a_worker_that_ends_tells_its_clients_so():
    replica = answering([STREAM + chunk(says("a")), Step.STALL], [Step.STALL])
    async with gateway_over(replica) as gateway:
        streamed, waiting = gateway.client(), gateway.client()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(streamed.post("/v1/completions", STREAMED))
            await settled(lambda: streamed.chunks)
            tasks.create_task(waiting.post("/v1/completions", COMPLETION))
            await settled(lambda: len(replica.requests) == 2)
            for task in list(gateway.running):
                task.cancel()
        assert (streamed.text, streamed.error["code"]) == ("a", "server_shutting_down")
        assert b"[DONE]" not in streamed.body
        assert streamed.ended
        assert (waiting.status, waiting.error["code"]) == (503, "server_shutting_down")
        assert waiting.headers[b"retry-after"] == b"1"
        outcomes = [facts.outcome for facts in gateway.recorder.facts]
        assert sorted(outcomes) == [Outcome.SHUTDOWN, Outcome.STREAM_BROKEN]
        await settled(lambda: replica.left == 2)


async def test_a_worker_that_ends_as_a_stream_is_over_spoils_nothing():
    replica = answering([STREAM + chunk(says("a", finish="stop") + DONE), Step.STALL])
    async with gateway_over(replica) as gateway:
        client = gateway.client()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.post("/v1/completions", STREAMED))
            await settled(lambda: client.ended)
            for task in list(gateway.running):
                task.cancel()
        assert client.body.endswith(DONE)
        assert gateway.facts.outcome is Outcome.OK
