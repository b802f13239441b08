"""Responses and embeddings through the gateway: what the clients get is what a replica gave.

Two replicas keep responses: without the way back to the right one, half of all would be lost.
"""

import json
from contextlib import ExitStack

import httpx
import pytest

from tests.sdk.clients import NODE_PROJECT, ROOT
from tests.system.running import gateway_config, running_gateway
from tests.wire.serving import serving

PYTHON_PROGRAM = ROOT / "tests/sdk/python/later_endpoints.py"
NODE_PROGRAM = NODE_PROJECT / "later_endpoints.mjs"
API_KEY, OTHER_KEY = "test-key-of-20-visible-characters", "another-key-of-20-characters"
KINDS = {
    "main": {"dialect": "main"},
    "1.2": {"dialect": "1.2"},
    "embeddings": {"dialect": "main", "task": "embeddings"},
}


@pytest.fixture(scope="module")
def simulated():
    with ExitStack() as stack:
        yield {
            name: [
                f"http://127.0.0.1:{stack.enter_context(serving(**options)).port}"
                for _ in range(2)
            ]
            for name, options in KINDS.items()
        }


@pytest.fixture(scope="module")
def gateway(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("later")
    keys = []
    for name, secret in (("app", API_KEY), ("other", OTHER_KEY)):
        (folder / name).write_text(secret)
        keys.append({"name": name, "key_file": str(folder / name)})
    models = [{"name": n, "source": "m", "static": urls} for n, urls in simulated.items()]
    config = gateway_config(folder, auth={"mode": "keys", "keys": keys}, models=models)
    ready = {name: len(urls) for name, urls in simulated.items()}
    with running_gateway(folder, config=config, ready=ready) as running:
        yield running


def asked(client, url, embeddings_url, **more):
    job = {"base_url": f"{url}/v1", "embeddings_url": f"{embeddings_url}/v1", **more}
    program = NODE_PROGRAM if client.is_node else PYTHON_PROGRAM
    return json.loads(client.run(program, stdin=json.dumps(job)))


@pytest.mark.parametrize("model", ["main", "1.2"])
def test_every_call_gives_what_the_replica_itself_gives(client, gateway, simulated, model):
    named = {"model": model, "embeddings_model": "embeddings", "api_key": API_KEY}
    through = asked(client, gateway.url, gateway.url, **named)
    direct = asked(client, simulated[model][0], simulated["embeddings"][0])
    assert through == direct
    assert len(through["responses"]["text"]) > 24
    assert through["responses"]["follows"]
    assert through["responses"]["after_delete"] == ["NotFoundError", 404]


@pytest.fixture
def http(gateway):
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=60) as client:
        yield client


def test_every_worker_finds_every_response_and_only_for_its_key(http):
    made = [
        http.post(
            "/v1/responses", json={"model": "main", "input": f"{i}", "max_output_tokens": 4}
        )
        for i in range(20)  # chosen by chance: all on one replica in one run of 500,000
    ]
    assert {answer.status_code for answer in made} == {200}
    assert len({answer.headers["x-trtgw-replica"] for answer in made}) == 2
    for answer in made:
        response = answer.json()
        path = f"/v1/responses/{response['id']}"
        for _ in range(2):  # each on a connection of its own, so on either worker
            found = httpx.get(http.base_url.join(path), headers=http.headers, timeout=60)
            assert found.json()["output"] == response["output"]
            assert found.headers["x-trtgw-replica"] == answer.headers["x-trtgw-replica"]
        foreign = http.get(path, headers={"authorization": f"Bearer {OTHER_KEY}"})
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "not_found")
        assert http.delete(path).json()["deleted"] is True
        assert http.get(path).status_code == 404


def test_a_message_and_the_tokens_of_a_prompt(http):
    turns = [{"role": "user", "content": "hi"}]
    asked = {"model": "main", "max_tokens": 4, "messages": turns}
    message = http.post(
        "/v1/messages", json=asked, headers={"authorization": "", "x-api-key": API_KEY}
    ).json()
    assert (message["model"], message["stop_reason"]) == ("main", "max_tokens")
    streamed = http.post("/v1/messages", json=asked | {"stream": True}).text
    assert streamed.startswith("event: message_start")
    assert streamed.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    tokens = http.post("/tokenize", json={"model": "main", "prompt": "hello there"}).json()
    assert tokens["count"] == len(tokens["tokens"]) > 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "main", "input": "hi"}),
        ("/v1/messages", {"model": "1.2", "max_tokens": 1, "messages": [{"role": "user"}]}),
        ("/v1/completions", {"model": "embeddings", "prompt": "hi"}),
        ("/v1/chat/completions", {"model": "embeddings", "messages": [{"role": "user"}]}),
        ("/v1/responses", {"model": "embeddings", "input": "hi"}),
        ("/tokenize", {"model": "1.2", "prompt": "hi"}),
    ],
)
def test_what_a_models_replicas_lack_is_said_and_harms_nobody(http, gateway, path, body):
    refused = http.post(path, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (
        400, "unsupported_by_replica"
    )  # fmt: skip
    assert path in refused.json()["error"]["message"]
    assert len(gateway.ready_replicas(body["model"])) == 2
