"""The mock says what trtllm-serve 1.2 says: the simulator is asked the same, and it is the one
that transcripts judge (`tests/wire`).
"""

import os
import re
import socket

import httpx
import pytest

from tests.bench.subjects import running_mock
from tests.wire.serving import read_to_end, serving

ANY = {
    r"[0-9a-f]{32}": "<id>",
    r'"created":\d+': '"created":<n>',
    r'"(content|text)":"[^"]+"': r'"\1":"<text>"',
    r'"(prompt|total)_tokens":\d+': r'"\1_tokens":<n>',
    r"(?m)^date: .*$": "date: <date>",
}
GENERATIONS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "MOCK n=3"}]}),
    "completion": ("/v1/completions", {"prompt": "MOCK n=3"}),
}
STREAMED = {"stream": True}
WAYS = {
    "whole": {},
    "streamed": STREAMED,
    "streamed with usage": STREAMED | {"stream_options": {"include_usage": True}},
}


@pytest.fixture(scope="module")
def mock(programs, tmp_path_factory):
    with running_mock(
        programs, tmp_path_factory.mktemp("mock"), os.sched_getaffinity(0)
    ) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.fixture(scope="module")
def simulator():
    with serving(model="m") as running:
        yield f"http://127.0.0.1:{running.port}"


def shape(answer):
    """Return status, content type and body of an answer, without what is by chance."""
    text = answer.text
    for pattern, mark in ANY.items():
        text = re.sub(pattern, mark, text)
    return answer.status_code, answer.headers.get("content-type"), text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", GENERATIONS)
def test_a_generation_has_the_shape_of_trtllm_serve(kind, way, mock, simulator):
    path, asked = GENERATIONS[kind]
    body = {"model": "m", "max_tokens": 3, "ignore_eos": True, **asked, **WAYS[way]}
    answers = [shape(httpx.post(url + path, json=body)) for url in (mock, simulator)]
    assert answers[0][0] == 200
    assert answers[0] == answers[1]


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/version", "/nowhere"])
def test_what_a_gateway_probes_has_the_shape_of_trtllm_serve(path, mock, simulator):
    answers = [shape(httpx.get(url + path)) for url in (mock, simulator)]
    assert answers[0] == answers[1]


def test_every_event_is_a_chunk_of_its_own_and_every_chunk_has_an_id_of_its_own(mock):
    path, asked = GENERATIONS["chat"]
    body = httpx.Request("POST", mock, json={"model": "m", **asked, **STREAMED}).content
    head = f"POST {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(mock.rpartition(":")[2]))) as client:
        client.sendall(head.encode() + body)
        _, _, answer = read_to_end(client).decode().partition("\r\n\r\n")
    chunks = re.findall(r"([0-9a-f]+)\r\n(.*?)\r\n", answer, re.DOTALL)
    assert [int(size, 16) for size, _ in chunks] == [len(data) for _, data in chunks]
    events = [data for _, data in chunks[:-1]]
    assert len(events) == 1 + 3 + 1  # the role, the tokens, [DONE]
    assert all(e.startswith("data: ") and e.count("\n\n") == 1 for e in events)
    ids = re.findall(r"[0-9a-f]{32}", answer)
    assert len(set(ids)) == len(ids) == 1 + 3


def test_spans_are_taken_and_counted(mock):
    before = httpx.get(f"{mock}/stats").json()["traces"]
    assert httpx.post(f"{mock}/v1/traces", content=b"spans").status_code == 200
    assert httpx.get(f"{mock}/stats").json()["traces"] == before + 1
