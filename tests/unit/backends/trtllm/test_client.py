"""The client against the simulator of each era, and against servers that misbehave."""

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from backends.ports import Ports
from backends.process import ProcessLauncher
from backends.replica import ReplicaId
from backends.simulated import SimulatorOptions, simulated
from backends.trtllm.client import (
    NoSuchRoute,
    TimedOut,
    TrtllmClient,
    UnexpectedAnswer,
    Unreachable,
    control_client,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def simulator(tmp_path, dialect):
    launcher = ProcessLauncher(
        tmp_path,
        f"client-{os.getpid()}-{tmp_path.name}",
        environ={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        ports=Ports(range(22720, 22800)),
        clock=time.monotonic,
    )
    spec = simulated("m", "org/m", SimulatorOptions(dialect=dialect, time_scale=0.05))
    replica = await launcher.launch(spec, ReplicaId("r1"))
    try:
        async with control_client() as http:
            client = TrtllmClient(http, replica.url, timeout_s=20)
            with anyio.fail_after(60):
                while not await well(client):  # noqa: ASYNC110 - another process decides
                    await anyio.sleep(0.05)
            yield client
    finally:
        await launcher.stop(replica.id, grace_s=0)
        await launcher.close()


async def well(client):
    try:
        return (await client.health()).ok
    except Unreachable:
        return False


@pytest.mark.parametrize("dialect", ["1.0", "1.1", "1.2", "main"])
async def test_every_era_is_understood(tmp_path, dialect):
    async with simulator(tmp_path, dialect) as client:
        assert await client.era() == dialect
        assert (await client.version()).startswith("1.")
        assert await client.models() == ("org/m",)
        await client.generate("org/m", timeout_s=20)
        await client.health_generate(timeout_s=20)
        if dialect in {"1.0", "1.1"}:
            with pytest.raises(UnexpectedAnswer, match="no completion came; status 400"):
                await client.greedy("org/m", "hi", 4, timeout_s=20)
        else:
            tokens, logprobs = await client.greedy("org/m", "hi", 4, timeout_s=20)
            assert (len(tokens), len(logprobs)) == (4, 4)
            assert await client.greedy("org/m", "hi", 4, timeout_s=20) == (tokens, logprobs)
        load = await client.load()
        assert load.running is not None
        assert load.kv_used_share is not None
        assert 0 <= load.kv_used_share <= 1
        timings = await client.perf_metrics()
        if dialect != "1.0":
            assert timings[-1].arrival_at <= timings[-1].first_token_at
        events = await client.kv_events()
        assert events[0].kind == "created"
        with pytest.raises(
            UnexpectedAnswer, match="no token came of one asked for; status 400"
        ):
            await client.generate(None, timeout_s=20)


class Scripted(httpx.AsyncBaseTransport):
    """Answers from a table of paths; an exception is raised, a number of seconds is slept."""

    def __init__(self, **answers):
        self.answers = {
            f"/{path.replace('__', '/')}": answer for path, answer in answers.items()
        }

    async def handle_async_request(self, request):
        answer = self.answers.get(request.url.path, (404, '{"detail":"Not Found"}'))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = (200, "")
        status, body = answer
        return httpx.Response(status, text=body)


@asynccontextmanager
async def scripted(**answers):
    async with httpx.AsyncClient(transport=Scripted(**answers)) as http:
        yield TrtllmClient(http, "http://replica:8000", timeout_s=0.5)


async def test_nothing_listening_is_unreachable():
    async with scripted(health=httpx.ConnectError("refused")) as client:
        with pytest.raises(Unreachable, match="http://replica:8000/health: refused"):
            await client.health()


async def test_an_error_without_words_is_named():
    async with scripted(health=httpx.ReadError("")) as client:
        with pytest.raises(Unreachable, match="ReadError"):
            await client.health()


async def test_silence_is_a_timeout():
    async with scripted(health=600.0) as client:
        with pytest.raises(TimedOut, match=r"no answer within 0\.5 s"):
            await client.health()


async def test_an_unwell_server_says_why():
    async with scripted(health=(503, "LLM is unavailable.\n")) as client:
        health = await client.health()
        assert (health.ok, health.status, health.message) == (False, 503, "LLM is unavailable.")


@pytest.mark.parametrize("body", ["[]", '{"data": 3}', '"x"'])
async def test_a_list_of_models_that_is_none_is_unexpected(body):
    async with scripted(v1__models=(200, body)) as client:
        with pytest.raises(UnexpectedAnswer, match="no list of models"):
            await client.models()


async def test_what_is_no_json_is_unexpected():
    async with scripted(v1__models=(200, "<html>")) as client:
        with pytest.raises(UnexpectedAnswer, match="not JSON: <html>"):
            await client.models()


async def test_an_error_status_is_unexpected_with_its_body():
    async with scripted(v1__models=(500, "Internal Server Error")) as client:
        with pytest.raises(UnexpectedAnswer, match="status 500: Internal Server Error"):
            await client.models()


@pytest.mark.parametrize("body", ["null", "{}", '{"choices": []}'])
async def test_an_answer_without_a_token_proves_nothing(body):
    async with scripted(v1__completions=(200, body)) as client:
        with pytest.raises(UnexpectedAnswer, match="no token came"):
            await client.generate("m", timeout_s=1)


async def test_what_is_not_switched_on_gives_nothing():
    async with scripted(metrics=(200, "[]"), version=(200, "[]")) as client:
        assert await client.load() is None
        assert await client.prometheus() is None
        assert await client.perf_metrics() == []
        assert await client.kv_events() == []
        assert await client.version() is None
        assert await client.era() == "1.0"


async def test_statistics_that_are_no_list_are_none():
    async with scripted(metrics=(200, "{}")) as client:
        assert await client.iterations() == []


async def test_a_server_info_that_is_no_object_still_tells_the_era():
    async with scripted(server_info=(200, "[]"), version=(404, "")) as client:
        assert await client.era() == "1.2"


async def test_health_generate_says_whether_it_is_missing_or_fails():
    async with scripted() as client:
        with pytest.raises(NoSuchRoute):
            await client.health_generate(timeout_s=1)
    async with scripted(health_generate=(500, "Generation health check failed")) as client:
        with pytest.raises(UnexpectedAnswer, match="status 500: Generation health") as caught:
            await client.health_generate(timeout_s=1)
        assert not isinstance(caught.value, NoSuchRoute)
    async with scripted(health_generate=60.0) as client:
        with pytest.raises(TimedOut, match=r"no answer within 0\.01 s"):
            await client.health_generate(timeout_s=0.01)


async def test_a_completion_without_log_probabilities_is_no_greedy_answer():
    async with scripted(v1__completions=(200, '{"choices":[{"text":"a"}]}')) as client:
        with pytest.raises(UnexpectedAnswer, match="have no log probabilities"):
            await client.greedy("m", "p", 4, timeout_s=1)
