"""Against real sockets: a tiny server that answers control routes from a table."""

import asyncio
import json

import pytest

from gateway.core.drift import GoldenAnswer
from gateway.fleet.golden import NotComparable
from gateway.fleet.health import ProbeOutcome
from gateway.fleet.http_probe import HttpProbe
from gateway.fleet.settings import ProbeSettings

pytestmark = pytest.mark.anyio

MODELS = {"object": "list", "data": [{"id": "org/m", "object": "model"}]}
WELL = {
    "/health": (200, ""),
    "/v1/models": (200, MODELS),
    "/version": (200, {"version": "1.2.0"}),
    "/server_info": (200, {"disaggregated_params": {}}),
    "/v1/completions": (200, {"choices": [{"text": "!"}]}),
}


class Server:
    """Answers from a table; None hangs."""

    def __init__(self):
        self.answers = dict(WELL)
        self.asked = []

    async def __call__(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            path = head.split()[1]
            self.asked.append(path)
            length = head.partition("content-length: ")[2].partition("\r")[0]
            await reader.readexactly(int(length or 0))
            answer = self.answers.get(path, (404, {"detail": "Not Found"}))
            if answer is None:
                await reader.read()
                return
            status, body = answer
            text = body if isinstance(body, str) else json.dumps(body)
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-length: {len(text)}\r\n"
                f"connection: close\r\n\r\n{text}".encode()
            )
            await writer.drain()
        finally:
            writer.close()


@pytest.fixture
async def server():
    answers = Server()
    listening = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    answers.url = f"http://127.0.0.1:{port}"
    yield answers
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def probe():
    made = HttpProbe(ProbeSettings(timeout_s=0.5, generate_s=0.5))
    yield made
    await made.close()


async def test_a_well_one_is_asked_for_a_token_only_when_it_must_prove_itself(server, probe):
    cheap = await probe(server.url, "org/m", prove=False)
    assert (cheap.outcome, cheap.model, cheap.dialect) == (ProbeOutcome.OK, "org/m", None)
    assert server.asked == ["/health", "/v1/models"]
    proof = await probe(server.url, "org/m", prove=True)
    assert (proof.outcome, proof.dialect) == (ProbeOutcome.OK, "1.2")
    assert server.asked[-1] == "/v1/completions"


async def test_a_server_of_embeddings_proves_itself_by_one(server, probe):
    del server.answers["/v1/completions"], server.answers["/server_info"]
    server.answers["/version"] = (200, {"version": "1.3.0rc25"})
    server.answers["/v1/embeddings"] = (200, {"data": [{"index": 0, "embedding": [1]}]})
    proof = await probe(server.url, "org/m", prove=True)
    assert (proof.outcome, proof.dialect) == (ProbeOutcome.OK, "main")
    assert server.asked[-2:] == ["/v1/completions", "/v1/embeddings"]
    for empty in ((200, {"data": []}), (500, "boom")):
        server.answers["/v1/embeddings"] = empty
        proof = await probe(server.url, "org/m", prove=True)
        assert proof.outcome is ProbeOutcome.NO_GENERATION
        assert "no embedding came" in proof.detail


async def test_a_server_that_does_neither_is_told_what_it_lacks_first(server, probe):
    del server.answers["/v1/completions"]
    proof = await probe(server.url, "org/m", prove=True)
    assert proof.outcome is ProbeOutcome.NO_GENERATION
    assert "no token came of one asked for; status 404" in proof.detail


async def test_another_model_is_told_before_anything_is_asked_of_it(server, probe):
    result = await probe(server.url, "org/other", prove=True)
    assert result.outcome is ProbeOutcome.WRONG_MODEL
    assert result.detail == "it serves org/m, not org/other"
    assert "/v1/completions" not in server.asked


async def test_any_model_will_do_where_none_is_expected(server, probe):
    assert (await probe(server.url, "", prove=True)).model == "org/m"


@pytest.mark.parametrize(
    ("path", "answer", "outcome", "words"),
    [
        ("/health", (503, "LLM is unavailable."), ProbeOutcome.UNWELL, "answers 503: LLM is"),
        ("/v1/models", (200, "<html>"), ProbeOutcome.UNWELL, "not JSON"),
        ("/v1/models", (200, {"data": []}), ProbeOutcome.UNWELL, "names no model"),
        ("/health", None, ProbeOutcome.TIMEOUT, "no answer within 0.5 s"),
        ("/v1/completions", None, ProbeOutcome.NO_GENERATION, "does not generate"),
        ("/v1/completions", (500, "boom"), ProbeOutcome.NO_GENERATION, "status 500: boom"),
        ("/v1/completions", (200, {"choices": []}), ProbeOutcome.NO_GENERATION, "no token"),
    ],
)
async def test_what_is_wrong_is_told(server, probe, path, answer, outcome, words):
    server.answers[path] = answer
    result = await probe(server.url, "org/m", prove=True)
    assert result.outcome is outcome
    assert words in result.detail


async def test_a_port_that_refuses_is_still_loading_or_gone(probe):
    result = await probe("http://127.0.0.1:1", "org/m", prove=False)
    assert result.outcome is ProbeOutcome.REFUSED


async def opinion(probe, server, *, thoroughly=False):
    return await probe.works(server.url, "org/m", generate_s=0.5, thoroughly=thoroughly)


async def test_a_second_opinion_is_a_chat_that_the_replica_has_with_itself(server, probe):
    server.answers["/health_generate"] = (200, "Generation health check OK")
    assert (await opinion(probe, server)).outcome is ProbeOutcome.OK
    assert server.asked == ["/health_generate"]


async def test_without_that_route_it_is_a_completion(server, probe):
    assert (await opinion(probe, server)).outcome is ProbeOutcome.OK
    assert server.asked == ["/health_generate", "/v1/completions"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [(None, "no answer within 0.5 s"), ((500, "failed: CUDA"), "status 500: failed: CUDA")],
)
async def test_a_second_opinion_says_why_nothing_was_generated(server, probe, answer, words):
    server.answers["/health_generate"] = answer
    found = await opinion(probe, server)
    assert found.outcome is ProbeOutcome.NO_GENERATION
    assert words in found.detail


async def test_a_thorough_one_asks_for_both_several_times(server, probe):
    server.answers["/health_generate"] = (200, "Generation health check OK")
    assert (await opinion(probe, server, thoroughly=True)).outcome is ProbeOutcome.OK
    assert server.asked == ["/health_generate", "/v1/completions"] * 3
    server.answers["/v1/completions"] = (400, "wrong")
    found = await opinion(probe, server, thoroughly=True)
    assert found.outcome is ProbeOutcome.NO_GENERATION
    assert "status 400: wrong" in found.detail


async def test_a_second_opinion_of_who_is_gone_is_none(probe):
    found = await probe.works("http://127.0.0.1:1", "m", generate_s=1, thoroughly=False)
    assert found.outcome is ProbeOutcome.REFUSED


async def test_a_proof_may_be_given_another_limit(server):
    patient = HttpProbe(ProbeSettings(generate_s=3600))
    server.answers["/v1/completions"] = None
    result = await patient(server.url, "org/m", prove=True, generate_s=0.1)
    assert "no answer within 0.1 s" in result.detail
    await patient.close()


COMPLETED = {
    "choices": [
        {"text": "x" * 20, "logprobs": {"tokens": ["x"] * 20, "token_logprobs": [-0.5] * 20}}
    ]
}


async def test_a_golden_answer_has_up_to_16_tokens_and_their_log_probabilities(server, probe):
    server.answers["/v1/completions"] = (200, COMPLETED)
    answer = await probe.golden(server.url, "org/m", "The capital of France is")
    assert answer == GoldenAnswer(("x",) * 16, (-0.5,) * 16)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {"detail": "Not Found"}), "it completes no text"),
        ((400, "logprobs is not supported"), "gives no log probabilities: .* not supported"),
        ((200, {"choices": [{"text": "x"}]}), "gives no log probabilities"),
        (None, "no answer within 0.5 s"),
    ],
)
async def test_a_replica_that_cannot_be_compared_says_why(server, probe, answer, words):
    server.answers["/v1/completions"] = answer
    with pytest.raises(NotComparable, match=words):
        await probe.golden(server.url, "org/m", "hi")
