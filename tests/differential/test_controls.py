"""The comparison itself: it is red for each small thing that a gateway could do wrong."""

import asyncio
import re
from dataclasses import replace

import pytest

from gateway.core.dialect import body_for
from tests.differential import normalise, replicas
from tests.differential.asked import Asked
from tests.differential.in_process import bench_of
from tests.differential.verdict import SAME

pytestmark = pytest.mark.anyio

SENT = (
    b'{"model":"m","prompt":"a","seed":1e0,"top_p":0.50,"user":"\\u0061","stop":["x"],'
    b'"stop":["e"], "max_tokens":8}'
)
STREAMED = (
    b'{"model":"m","prompt":["a","b"],"max_tokens":5,"n":2,"stream":true,'
    b'"stream_options":{"include_usage":true}}'
)
BROKEN_BODIES = {
    "a field is lost": (rb'"seed":1e0,', b""),
    "a number is written anew": (rb"1e0", b"1.0"),
    "a number loses a digit": (rb"0\.50", b"0.5"),
    "an escape is written anew": (rb"\\u0061", b"a"),
    "of repeated fields one is left": (rb'"stop":\["x"\],', b""),
    "repeated fields change places": (rb'"x"(.*)"e"', rb'"e"\1"x"'),
    "two fields change places": (
        rb'("seed":1e0),("top_p":0\.50)',
        rb"\2,\1",
    ),
    "a field is added": (rb"}$", b',"echo":false}'),
    "a field is there twice": (rb"}$", b',"max_tokens":8}'),
    "the name is the client's": (rb'"nvidia[^"]*"', b'"m"'),
}
"""What to find in a body on its way to the replica, and what to put in its place."""
BROKEN_ANSWERS = {
    "an event is lost": (rb"data: .*?\n\n", b""),
    "an event comes twice": (rb"(data: .*?\n\n)", rb"\1\1"),
    "two events change places": (rb"(data: .*?\n\n)(data: .*?\n\n)", rb"\2\1"),
    "a text is cut": (rb'"text":"\w', b'"text":"'),
    "a number is written anew": (rb"iter\":1\.0", b'iter":1'),
    "two fields change places": (
        rb'("token_ids":null),("logprobs":null)',
        rb"\2,\1",
    ),
    "a null is left out": (rb'"stop_reason":null,', b""),
    "a field is added": (rb'"index"', b'"i":0,"index"'),
    "counts are not added up": (rb'"completion_tokens":20', b'"completion_tokens":10'),
    "counts come once more": (rb"(data: [^\n]*completion_tokens[^\n]*\n\n)", rb"\1\1"),
    "counts do not come": (rb"data: [^\n]*completion_tokens[^\n]*\n\n", b""),
    "a part has another id": (rb"cmpl-0", b"cmpl-f"),
    "a part has another model": (rb'"model":"m"', b'"model":"n"'),
    "the end is lost": (rb"data: \[DONE\]\n\n", b""),
    "the end comes twice": (rb"(data: \[DONE\]\n\n)", rb"\1\1"),
    "an event is cut": (rb"\n\ndata: \[DONE\]", b"\ndata: [DONE]"),
}


@pytest.fixture(scope="module")
def replica():
    with replicas.serving("1.2", stream_interval=1) as running:
        yield running


async def verdict(replica, body):
    """Return what became of the request, or how the comparison failed."""
    async with bench_of(replica) as bench:
        try:
            return await asyncio.to_thread(bench.judge, Asked("completions", body))
        except AssertionError as failed:
            return failed


@pytest.mark.parametrize("body", [SENT, STREAMED])
async def test_the_gateway_as_it_is_passes(replica, body):
    assert await verdict(replica, body) == SAME


@pytest.mark.parametrize("how", BROKEN_BODIES)
async def test_a_body_that_was_changed_is_seen(replica, monkeypatch, how):
    found, instead = BROKEN_BODIES[how]

    def broken(request, **known):
        body = b"".join(body_for(request, **known))
        changed, times = re.subn(found, instead, body, flags=re.DOTALL)
        assert times == 1
        return (changed,)

    monkeypatch.setattr("gateway.dataplane.attempt.body_for", broken)
    assert isinstance(await verdict(replica, SENT), AssertionError)


@pytest.mark.parametrize("how", BROKEN_ANSWERS)
async def test_an_answer_that_was_changed_is_seen(replica, how):
    found, instead = BROKEN_ANSWERS[how]
    asked = Asked("completions", STREAMED)
    async with bench_of(replica) as bench:
        direct, through = [
            await asyncio.to_thread(bench.asking.post, url, asked.path, asked.body)
            for url in (replica.url, bench.gateway_url)
        ]
    right = normalise.of_replica(direct, asked)
    assert normalise.of_gateway(through, asked) == right
    changed, times = re.subn(found, instead, through.body, count=1)
    assert times == 1
    assert not is_taken_for(replace(through, body=changed), asked, right)


def is_taken_for(answer, asked, right):
    try:
        return normalise.of_gateway(answer, asked) == right
    except (AssertionError, ValueError):
        return False
