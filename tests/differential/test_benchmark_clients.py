"""NVIDIA's benchmark_serving: its very requests, and the numbers that it makes of answers."""

import asyncio
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from gateway.core.fields import DIALECTS
from gateway.core.keys import digest_key
from gateway.core.snapshot import KeyView
from tests.differential import replicas
from tests.differential.in_process import InFront
from tests.differential.line_reader import measure
from tests.gateway.data_gateway import gateway_over

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
TOKENS = 24
API_KEY = "benchmark-key-of-29-characters"
PEPPER = bytes(range(32))
_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
_IDS = [791, 3488, 315, 1561, 4356]


def completion(model, prompt):
    """Return the body for the backend ``openai``, fields in its order."""
    return {
        "model": model, "prompt": prompt, "temperature": 0.0, "repetition_penalty": 1.0,
        "max_tokens": TOKENS, "logprobs": None, **_USAGE, "ignore_eos": True,
    }  # fmt: skip


def chat(model, messages, **more):
    """Return the body for the backend ``openai-chat``."""
    return {
        "model": model, "messages": messages, **more, "temperature": 0.0,
        "max_completion_tokens": TOKENS, **_USAGE, "ignore_eos": True,
    }  # fmt: skip


PARTS = [{"role": "user", "content": [{"type": "text", "text": "Where is New York?"}]}]
REQUESTS = {
    "completion, text": (COMPLETIONS, lambda model: completion(model, "Where is New York?")),
    "completion, token ids": (COMPLETIONS, lambda model: completion(model, _IDS)),
    "chat, text": (CHAT, lambda model: chat(model, PARTS)),
    "chat, token ids": (CHAT, lambda model: chat(model, [], prompt_token_ids=_IDS)),
}


def measured(url, path, body, api_key="None"):
    """Send one request as aiohttp does without keep-alive, and read its answer by lines."""
    address = urlsplit(url).netloc
    connection = http.client.HTTPConnection(address, timeout=60)
    headers = {
        "Host": address,
        "Authorization": f"Bearer {api_key}",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": "Python/3.12 aiohttp/3.13",
        "Content-Type": "application/json",
        "Connection": "close",
    }
    try:
        connection.request("POST", path, json.dumps(body).encode(), headers)
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        return measure(reply, time.perf_counter)
    finally:
        connection.close()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", REQUESTS)
def test_its_numbers_are_those_of_a_direct_run(benches, dialect, kind):
    bench, (path, body) = benches[dialect], REQUESTS[kind]
    asked = body(bench.replica.model)
    direct = measured(bench.replica.url, path, asked)
    through = measured(bench.gateway_url, path, asked)
    assert through.structure == direct.structure
    assert through.success
    assert through.output_tokens == TOKENS
    assert 0 < through.ttft <= through.latency
    assert sum(through.itl) == pytest.approx(through.latency - through.ttft)


def test_many_at_once_are_all_measured_alike(benches):
    bench, (path, body) = benches["1.2"], REQUESTS["completion, token ids"]
    asked = body(bench.replica.model)
    alone = measured(bench.replica.url, path, asked)
    with ThreadPoolExecutor(16) as pool:
        runs = [pool.submit(measured, bench.gateway_url, path, asked) for _ in range(64)]
        assert {run.result().structure for run in runs} == {alone.structure}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", REQUESTS)
async def test_its_key_from_the_environment_is_asked_for(kind):
    path, body = REQUESTS[kind]
    keys = {digest_key(API_KEY.encode(), PEPPER): KeyView(id="k", tenant="t")}
    with replicas.serving("main") as replica:
        known = {"keys": keys, "key_pepper": PEPPER}
        async with (
            gateway_over(InFront(replica), known=known) as gateway,
            gateway.serving() as client,
        ):
            with_key, direct = [
                await asyncio.to_thread(measured, url, path, body("m"), API_KEY)
                for url in (str(client.base_url), replica.url)
            ]
            without = await client.post(path, json=body("m"))
    assert with_key.structure == direct.structure
    assert without.status_code == 401
    assert without.json()["error"]["code"] == "invalid_api_key"


def test_comments_fail_it():
    """So a run with longer waits for the first token needs a longer ``header_commit_s``."""
    with pytest.raises(ValueError, match="Expecting value"):
        measure([b": ping", b"", b"data: [DONE]"], time.perf_counter)
