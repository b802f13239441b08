"""Anthropic's clients: their own header for the key, their own words for what went wrong."""

import json

import pytest

from gateway.core.keys import digest_key
from gateway.core.snapshot import KeyView
from tests.fakes.replica import answering, reply
from tests.gateway.data_gateway import COMPLETION, gateway_over
from tests.gateway.kinds import EMBEDDINGS, MESSAGES, RESPONSES

pytestmark = pytest.mark.anyio

PEPPER = b"p" * 32
API_KEY = "a-secret-of-20-characters"
KEYED = {
    "keys": {digest_key(API_KEY.encode(), PEPPER): KeyView("k1", "t")},
    "key_pepper": PEPPER,
}
THEIRS = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}


async def test_a_message_may_bring_its_key_as_anthropics_clients_do():
    replica = answering([MESSAGES.reply], dialect="main")
    async with gateway_over(replica, known=KEYED) as gateway:
        for headers in (THEIRS, {"authorization": f"Bearer {API_KEY}"}):
            client = await gateway.post(MESSAGES.body(), MESSAGES.path, headers=headers)
            assert client.status == 200
            assert gateway.facts.key_id == "k1"
        assert API_KEY.encode() not in b"".join(head for head, _ in replica.requests)


async def test_a_message_without_a_known_key_is_refused_in_anthropics_words():
    async with gateway_over(answering(), known=KEYED) as gateway:
        for headers in ({}, {"x-api-key": "wrong"}, {"x-api-key": ""}):
            client = await gateway.post(MESSAGES.body(), MESSAGES.path, headers=headers)
            assert client.status == 401
            told = json.loads(client.body)
            assert (told["type"], told["error"]["type"]) == ("error", "authentication_error")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", COMPLETION),
        (RESPONSES.path, RESPONSES.body()),
        (EMBEDDINGS.path, EMBEDDINGS.body()),
    ],
)
async def test_elsewhere_that_header_is_no_key(path, body):
    async with gateway_over(answering(), known=KEYED) as gateway:
        client = await gateway.post(body, path, headers=THEIRS)
        assert (client.status, client.error["code"]) == (401, "invalid_api_key")
        assert "type" not in json.loads(client.body)


REFUSED = {
    "wrong": (MESSAGES.body(max_tokens=0), 400, "invalid_request_error"),
    "no model": (MESSAGES.body(model="nothing"), 404, "not_found_error"),
    "no json": (b"{", 400, "invalid_request_error"),
}


@pytest.mark.parametrize(("body", "status", "named"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_message_is_told_in_anthropics_shape(body, status, named):
    async with gateway_over(answering(dialect="main")) as gateway:
        client = await gateway.post(body, MESSAGES.path)
        assert client.status == status
        told = json.loads(client.body)
        assert set(told) == {"type", "error"}
        assert (told["type"], told["error"]["type"]) == ("error", named)
        client = await gateway.post(b"", MESSAGES.path, method="GET")
        assert (client.status, json.loads(client.body)["type"]) == (405, "error")


async def test_a_replica_that_fails_is_told_in_anthropics_shape():
    async with gateway_over(answering([reply(b"{}", 500)], dialect="main")) as gateway:
        client = await gateway.post(MESSAGES.body(), MESSAGES.path)
        assert client.status == 502
        told = json.loads(client.body)["error"]
        assert (told["type"], told["code"]) == ("api_error", "upstream_error")
