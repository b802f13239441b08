"""An executor that dies before an answer: what each endpoint says, and that the server ends."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from backends.simulator.embeddings import REFUSALS
from backends.simulator.endpoints import CHAT, COMPLETIONS, MESSAGES, RESPONSES
from backends.simulator.faults import Fault
from backends.simulator.head_faults import fail_before_head


def answer_of(refusals):
    sent, ended = [], []

    async def send(message):
        sent.append(message)

    process = SimpleNamespace(interrupt=lambda: ended.append(True))
    connection = SimpleNamespace(lost=False)
    asyncio.run(fail_before_head(Fault("null"), refusals, process, connection, send))
    assert ended == [True]
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize("endpoint", [CHAT, COMPLETIONS], ids=["chat", "completions"])
def test_the_older_endpoints_answer_200_and_null(endpoint):
    assert answer_of(endpoint.refusals) == (200, None)


def test_responses_answer_200_and_a_word_that_is_no_response():
    assert answer_of(RESPONSES.refusals) == (200, {"detail": "None"})


def test_messages_and_embeddings_answer_500():
    status, body = answer_of(MESSAGES.refusals)
    assert (status, body["error"]["type"]) == (500, "api_error")
    status, body = answer_of(REFUSALS)
    assert (status, body["type"]) == (500, "InternalServerError")
