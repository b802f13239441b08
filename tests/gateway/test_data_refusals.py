import asyncio
import json
import socket

import pytest

from gateway.core.keys import digest_key
from gateway.core.outcome import Outcome
from gateway.core.snapshot import KeyView, Limits
from tests.fakes.replica import answering, reply, settled, stream
from tests.gateway.data_gateway import COMPLETION, STREAMED, gateway_over

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32
SECRETS = {"open": b"open-secret-0123456789", "narrow": b"narrow-secret-0123456789"}
KEYS = {
    digest_key(SECRETS["open"], PEPPER): KeyView("k1", "t", fields=None),
    digest_key(SECRETS["narrow"], PEPPER): KeyView("k2", "t", models=("other",)),
}
KEYED = {"keys": KEYS, "key_pepper": PEPPER}


def bearer(name):
    return {"authorization": f"Bearer {SECRETS[name].decode()}"}


def sent(**fields):
    return json.dumps({"model": "m", "prompt": "p"} | fields).encode()


BAD_BODIES = {
    "empty": (b"", "invalid_request", None),
    "broken": (b'{"model":', "invalid_request", None),
    "a list": (b"[]", "invalid_request", None),
    "not utf-8": (b'{"model":"m","prompt":"\xff"}', "invalid_request", None),
    "deep": (sent(logit_bias=json.loads("[" * 70 + "]" * 70)), "invalid_request", None),
    "no model": (b'{"prompt":"p"}', "invalid_request", "model"),
    "model null": (b'{"model":null,"prompt":"p"}', "invalid_request", "model"),
    "model a number": (b'{"model":5,"prompt":"p"}', "invalid_request", "model"),
    "no prompt": (b'{"model":"m"}', "invalid_request", "prompt"),
    "unknown field": (sent(temprature=1), "invalid_request", "temprature"),
    "wrong type": (sent(temperature="hot"), "invalid_request", "temperature"),
    "no tokens": (sent(max_tokens=0), "invalid_request", "max_tokens"),
    "absurd": (sent(max_tokens=10**30), "invalid_request", "max_tokens"),
    "too many choices": (sent(n=17), "invalid_request", "n"),
    "too many prompts": (sent(prompt=["p"] * 5), "invalid_request", "prompt"),
    "stream options alone": (sent(stream_options={}), "invalid_request", "stream_options"),
    "n for an old replica": (sent(n=2), "unsupported_by_replica", "n"),
    "a newer field": (sent(priority=0.5), "unsupported_by_replica", "priority"),
}


@pytest.mark.parametrize(("body", "code", "param"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_bad_request_is_a_400_that_names_the_field(body, code, param):
    replica = answering([reply()])
    async with gateway_over(replica, limits=Limits(prompts=4)) as gateway:
        client = await gateway.post(body)
        assert client.status == 400
        assert client.headers[b"content-type"] == b"application/json"
        assert client.error == {
            "message": client.error["message"],
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }
        assert b"x-should-retry" not in client.headers
        assert replica.requests == []
        assert (gateway.facts.outcome, gateway.facts.code) == (Outcome.CLIENT_ERROR, 400)
        assert gateway.facts.error_code == code


async def test_an_unknown_model_is_a_404_and_not_named_in_the_facts():
    async with gateway_over(answering()) as gateway:
        client = await gateway.post(sent(model="secret-name"))
        assert (client.status, client.error["code"]) == (404, "model_not_found")
        assert client.error["param"] == "model"
        assert gateway.facts.model == "other"


async def test_without_a_known_key_nobody_is_served():
    replica = answering([reply()])
    async with gateway_over(replica, known=KEYED) as gateway:
        for headers in (
            {},
            {"authorization": "Basic x"},
            {"authorization": "Bearer "},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer \xff"},
        ):
            client = await gateway.post(COMPLETION, headers=headers)
            assert (client.status, client.error["code"]) == (401, "invalid_api_key")
            assert client.error["type"] == "authentication_error"
            assert "wrong" not in client.error["message"]
        assert replica.requests == []
        assert (await gateway.post(b"", "/v1/models", method="GET")).status == 401
        client = await gateway.post(COMPLETION, headers=bearer("open"))
        assert client.status == 200
        assert (gateway.facts.key_id, gateway.facts.tenant) == ("k1", "t")
        assert b"authorization" not in replica.requests[0][0].lower()


async def test_a_key_for_other_models_sees_none_of_this_one():
    async with gateway_over(answering(), known=KEYED) as gateway:
        client = await gateway.post(COMPLETION, headers=bearer("narrow"))
        assert (client.status, client.error["code"]) == (404, "model_not_found")
        client = await gateway.post(b"", "/v1/models", method="GET", headers=bearer("narrow"))
        assert json.loads(client.body)["data"] == []
        client = await gateway.post(b"", "/v1/models/m", method="GET", headers=bearer("narrow"))
        assert client.status == 404


async def test_a_scoped_field_needs_a_key_that_may_send_it():
    narrow = {digest_key(SECRETS["narrow"], PEPPER): KeyView("k2", "t")}
    replica = answering([reply()])
    async with gateway_over(replica, known={"keys": KEYS | narrow, "key_pepper": PEPPER}) as gw:
        body = sent(lora_request={"lora_name": "x"})
        client = await gw.post(body, headers=bearer("narrow"))
        assert (client.status, client.error["code"]) == (403, "permission_denied")
        assert client.error["param"] == "lora_request"
        assert (await gw.post(body, headers=bearer("open"))).status == 200
        assert replica.requests[0][1]["lora_request"] == {"lora_name": "x"}


async def test_a_page_of_another_site_is_refused_where_no_key_is_asked_for():
    async with gateway_over(
        answering([reply()]), known={"allowed_hosts": ("localhost",)}
    ) as gateway:
        for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            client = await gateway.post(COMPLETION, headers=headers)
            assert (client.status, client.error["code"]) == (403, "permission_denied")
        assert (await gateway.post(COMPLETION)).status == 200


LIMITED = Limits(body_bytes=60)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (sent(user="x" * 60), {}),
        ([b"x" * 40, b"x" * 40], {}),
        ([b"x"], {"content-length": "61"}),
    ],
    ids=["whole", "in pieces", "as announced"],
)
async def test_a_body_over_the_limit_is_a_413(body, headers):
    async with gateway_over(answering([reply()]), limits=LIMITED) as gateway:
        client = await gateway.post(body, headers=headers)
        assert (client.status, client.error["code"]) == (413, "request_too_large")
        assert "60 bytes" in client.error["message"]
        assert (await gateway.post([COMPLETION[:9], COMPLETION[9:]])).status == 200


async def test_a_body_over_its_models_own_limit_is_a_413_too():
    async with gateway_over(answering(), limits=LIMITED) as gateway:
        model = gateway.snapshot.models["m"]
        gateway.known["models"] = {
            "m": model,
            "big": type(model)("big", 1, limits=Limits(body_bytes=500)),
        }
        gateway.publish()
        client = await gateway.post(sent(user="x" * 60))
        assert (client.status, client.error["code"]) == (413, "request_too_large")
        assert "this model's limit" in client.error["message"]


async def test_over_a_real_socket_a_body_too_large_is_refused_unread():
    async with gateway_over(answering(), limits=LIMITED) as gateway, gateway.serving() as http:
        answer = await http.post("/v1/completions", content=b"x" * 1_000_000)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/completions", 405, "method_not_allowed"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/m", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("POST", "/live", 405, "method_not_allowed"),
        ("POST", "/ready", 405, "method_not_allowed"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("GET", "/v1/responses", 405, "method_not_allowed"),
        ("POST", "/v1/embeddings/x", 404, "not_found"),
        ("POST", "/v1/messages/count_tokens", 404, "not_found"),
        ("POST", "/_internal/tokenize", 404, "not_found"),
        ("POST", "/v1/audio/speech", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
        ("GET", "/version", 404, "not_found"),
        ("POST", "/release_memory", 404, "not_found"),
        ("GET", "/v1/modelsx", 404, "not_found"),
        ("GET", "/v1/completions/x", 404, "not_found"),
        ("GET", "/v1/models/nothing", 404, "model_not_found"),
        ("GET", "/health/x", 404, "not_found"),
        ("GET", "/schema", 404, "not_found"),
        ("OPTIONS", "/v1/completions", 405, "method_not_allowed"),
        ("GET", "/%ff", 404, "not_found"),
    ],
)
async def test_what_is_not_served_is_told_in_the_one_error_shape(method, path, status, code):
    async with gateway_over(answering()) as gateway, gateway.serving() as http:
        answer = await http.request(method, path)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == (code, "invalid_request_error")
        assert set(error) == {"message", "type", "param", "code"}
        assert answer.headers["content-type"] == "application/json"
        if status == 405:
            inference = path.endswith(("completions", "embeddings", "responses"))
            assert answer.headers["allow"] == ("POST" if inference else "GET, HEAD")


async def test_a_head_request_is_answered_without_a_body():
    async with gateway_over(answering()) as gateway, gateway.serving() as http:
        for path, status in (("/health", 200), ("/v1/models", 200), ("/v1/completions", 405)):
            answer = await http.head(path)
            assert (answer.status_code, answer.content) == (status, b"")


async def test_bytes_that_are_no_http_get_a_400_and_harm_nobody():
    async with gateway_over(answering([stream("a")])) as gateway, gateway.serving() as http:
        port = http.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"garbage\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()
        with socket.create_connection(("127.0.0.1", port)):
            pass
        answer = await http.post("/v1/completions", content=STREAMED)
        assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_model_without_replicas_says_whether_to_come_back():
    async with gateway_over(replicas=()) as gateway:
        client = await gateway.post(COMPLETION)
        assert (client.status, client.error["code"]) == (503, "no_replica")
        assert client.headers[b"retry-after"] == b"2"
        assert client.headers[b"retry-after-ms"] == b"2000"
        assert b"x-should-retry" not in client.headers
        assert (gateway.facts.outcome, gateway.facts.rejection) == (
            Outcome.REJECTED,
            "no_replica",
        )
        gateway.publish(loading=True)
        client = await gateway.post(COMPLETION)
        assert (client.status, client.error["code"]) == (503, "model_loading")
        assert b"retry-after" in client.headers


async def test_the_request_goes_only_to_a_replica_that_can_do_it():
    old, new = answering([reply()]), answering([stream("a")], dialect="main")
    async with gateway_over(old, new) as gateway:
        for _ in range(3):
            assert (await gateway.post(sent(priority=0.5, stream=True))).text == "a"
        assert (len(old.requests), len(new.requests)) == (0, 3)


async def test_an_internal_fault_says_nothing_of_itself(caplog):
    replica = answering([reply()])
    async with gateway_over(replica) as gateway:
        gateway.leases.loads = lambda columns: columns["x"]
        client = await gateway.post(COMPLETION)
        assert (client.status, client.error["code"]) == (500, "gateway_internal")
        assert "indices" not in client.error["message"]
        assert client.headers[b"x-should-retry"] == b"false"
        assert "TypeError" in caplog.text
        assert client.headers[b"x-request-id"].decode() in caplog.text


async def test_an_internal_fault_in_a_model_list_has_the_one_error_shape():
    async with gateway_over(answering()) as gateway, gateway.serving() as http:
        gateway.known["models"] = None
        gateway.publish()
        for path in ("/v1/models", "/health"):
            answer = await http.get(path)
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "gateway_internal"


async def test_the_server_lives_on_after_all_that():
    replica = answering([stream("a")])
    async with (
        gateway_over(replica, limits=Limits(prompts=4)) as gateway,
        gateway.serving() as http,
    ):
        for body, _, _ in BAD_BODIES.values():
            answer = await http.post("/v1/completions", content=body)
            assert answer.status_code == 400
        answer = await http.post("/v1/completions", content=STREAMED)
        assert answer.text.endswith("data: [DONE]\n\n")
        await settled(lambda: len(gateway.recorder.facts) == len(BAD_BODIES) + 1)
