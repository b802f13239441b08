"""How long a body of 16 MiB keeps others waiting: no step of its reading is a long one."""

import gc
import json
from time import perf_counter

import pytest

from gateway.core.body import cut_steps
from gateway.core.dialect import body_for
from gateway.core.errors import GatewayError
from gateway.core.operation import CHAT, COMPLETIONS
from gateway.core.request import parse_steps
from gateway.core.snapshot import Limits

SIZE = 16 << 20
RUNS = 5
PROSE = "It was the best of times, it was the worst of times. "


def chat(*messages):
    return CHAT, {"model": "m", "messages": messages, "max_tokens": 1}


def completion(prompt):
    return COMPLETIONS, {"model": "m", "prompt": prompt, "max_tokens": 1}


def long_bodies():
    """Yield name, operation and body: each fills the limit in another way."""
    turns = [{"role": "user", "content": PROSE * 20} for _ in range(SIZE // 1100)]
    escaped = '\n"\\\u00e9\U0001f600' * (SIZE // 40)
    for name, (operation, body) in {
        "text": completion(PROSE * (SIZE // len(PROSE) - 2)),
        "messages": chat(*turns),
        "escapes": chat({"role": "user", "content": escaped}),
        "token_ids": completion([128_000 + at % 1000 for at in range(SIZE // 8 - 50)]),
    }.items():
        yield name, operation, json.dumps(body).encode()
    hostile = {
        "digits": b'{"model":"m","prompt":%b}' % (b"1" * (SIZE - 40)),
        "brackets": b'{"model":"m","prompt":%b' % (b"[" * (SIZE - 40)),
        "fields": b"{%b}" % b",".join(b'"%x":1' % at for at in range(SIZE // 12)),
        "colons": b'{"model":"m","prompt":"%b"}' % (b":" * (SIZE - 40)),
    }
    for name, wire in hostile.items():
        yield name, COMPLETIONS, wire


def timed(steps, spans):
    """Carry ``steps`` out, noting how long each took; return their result."""
    while True:
        began = perf_counter()
        try:
            next(steps)
        except StopIteration as done:
            return done.value
        finally:
            spans.append(perf_counter() - began)


def read(operation, wire):
    """Read a request as the data port does; return how long each step took, in seconds."""
    spans = []
    try:
        body = timed(cut_steps(wire, depth=64), spans)
        request = timed(parse_steps(operation, body, Limits(), scopes=frozenset()), spans)
    except GatewayError:
        return spans
    began = perf_counter()
    body_for(request, source="theirs", dialect="1.1")
    spans.append(perf_counter() - began)
    return spans


@pytest.mark.proof
def test_a_body_of_16_mib_is_read_in_many_steps(note_figures):
    gc.disable()  # a worker's hardly ever runs
    longest_ms = {}
    for name, operation, wire in long_bodies():
        assert SIZE // 2 < len(wire) <= SIZE, name
        runs = [read(operation, wire) for _ in range(RUNS)]
        # How long the longest took is noted, not judged: the machine may be busy. What else
        # runs there is in the way of one run or the other, so the best of them counts.
        longest_ms[name] = round(min(map(max, runs)) * 1000, 1)
        assert len(runs[0]) > 3 or name in {"fields", "brackets"}, name
    gc.enable()
    note_figures("long_bodies", bytes=SIZE, longest_step_ms=longest_ms)
