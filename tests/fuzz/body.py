"""Reading the body of a request, and what a replica gets of it.

The laws, whatever the bytes:

* They are a request, or an error of the client's (4xx); nothing else comes out.
* What is taken is what Python's ``json`` takes too, to the value, and the other way round, but
  for `_stricter`.
* A long body, which is read window by window, is taken or refused like a short one.
* Nothing taken nests deeper, or asks for more, than the limits say.
* What a replica gets of it differs in nothing but what the tables say (`tests.differential`).
"""

import json
from dataclasses import dataclass
from typing import Any

from gateway.core.body import Body, cut, cut_steps
from gateway.core.dialect import body_for, needs
from gateway.core.errors import GatewayError, InvalidRequest
from gateway.core.field_tables import SCOPED, field_of
from gateway.core.fields import DIALECTS, Missing
from gateway.core.operation import POSTED, Operation
from gateway.core.request import InferenceRequest, parse
from gateway.core.snapshot import Limits
from gateway.core.steps import finish
from tests.differential import edits
from tests.differential.asked import Asked
from tests.differential.json_pairs import members
from tests.fuzz.target import Target

LIMITS = Limits(depth=12, prompts=6, n=4)
SOURCE = "source"
_SALT = "5a17"
_BOM = b"\xef\xbb\xbf"


def one(data: bytes) -> None:
    """Read a body: a byte says what is asked and as whom, one how to cut; the rest is it."""
    if len(data) < 2:
        return
    operation, scoped = POSTED[data[0] % len(POSTED)], data[0] >= 128
    sent = _cut(data[2:], window=20 + data[1])
    if sent is None:
        return
    try:
        request = parse(
            operation,
            sent,
            LIMITS,
            scopes=frozenset() if scoped else None,
            cache_salt=_SALT if scoped else None,
        )
    except GatewayError as refusal:
        _is_the_clients(refusal)
        return
    _within_limits(request)
    oldest, _ = needs(request)
    for dialect in DIALECTS[oldest:]:
        parts = body_for(request, source=SOURCE, dialect=dialect)
        _only_as_the_tables_say(request, b"".join(parts), dialect, scoped=scoped)


def _is_the_clients(refusal: GatewayError) -> None:
    assert 400 <= refusal.status < 500


def _cut(body: bytes, *, window: int) -> Body | None:
    short, refusal = _tried(lambda: cut(body, depth=LIMITS.depth))
    long, _ = _tried(
        lambda: finish(cut_steps(body, depth=LIMITS.depth, at_once=0, window=window))
    )
    assert (short is None) == (long is None), "cut at once and window by window differ"
    judged = _Judged.of(body)
    if short is None or long is None:
        assert judged.value is None or _stricter(judged), f"refused without reason: {refusal}"
        return None
    assert judged.value is not None, f"not JSON, and taken: {judged.wrong}"
    values = {name: json.loads(bytes(raw)) for name, raw in short.fields.items()}
    assert values == judged.value
    assert list(short.places()) == list(long.places())
    assert {n: bytes(short.value(n)) for n in values} == {
        n: bytes(long.value(n)) for n in values
    }
    assert judged.depth <= LIMITS.depth
    return short


def _tried(read: Any) -> tuple[Body | None, str]:
    try:
        return read(), ""
    except InvalidRequest as refusal:
        return None, str(refusal)


@dataclass(frozen=True)
class _Judged:
    """What Python says of a body."""

    value: dict[str, Any] | None
    """None if it is no JSON object."""
    wrong: str = ""
    depth: int = 0
    text: str = ""

    @classmethod
    def of(cls, body: bytes) -> "_Judged":
        try:
            text = body.removeprefix(_BOM).decode()
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as wrong:
            return cls(None, str(wrong))
        if not isinstance(value, dict):
            return cls(None, "no object")
        return cls(value, depth=_depth(value), text=text)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON: RFC 8259 has no such number")


def _depth(value: Any) -> int:
    """Return how deep a value nests, repeated fields that do not count aside."""
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, inner), default=0)


def _stricter(judged: _Judged) -> bool:
    """Say whether a body that Python takes is refused on purpose.

    * It nests deeper than the limit; so counted, repeated fields that do not count too.
    * A string has half a pair of surrogates, which no UTF-8 can carry on.
    """
    level = deepest = 0
    plain = judged.text.replace("\\\\", "").replace('\\"', "")
    for outside in plain.split('"')[::2]:
        for char in outside:
            level += (char in "[{") - (char in "]}")
            deepest = max(deepest, level)
    if deepest > LIMITS.depth:
        return True
    return "\\ud" in plain.lower() and _has_half_a_pair(judged.text)


def _has_half_a_pair(text: str) -> bool:
    pairs = json.loads(text, object_pairs_hook=list)
    try:
        json.dumps(pairs, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _within_limits(request: InferenceRequest) -> None:
    assert 1 <= request.n <= LIMITS.n
    assert request.n <= request.best_of <= LIMITS.n
    assert 1 <= request.prompts <= LIMITS.prompts
    assert request.choices <= request.slots
    assert request.max_tokens is None or 0 < request.max_tokens < 2**63
    assert request.model
    assert request.prompt_bytes <= len(request.body.data)
    assert isinstance(request.route, str)


def _only_as_the_tables_say(
    request: InferenceRequest, got: bytes, dialect: str, *, scoped: bool
) -> None:
    """What goes out is JSON, and each difference is one that a table has."""
    operation, sent = request.operation, request.body.data
    out = members(got)
    changed = {"model", *operation.limits, "stream_options", "cache_salt"}
    kept = [pair for pair in out if pair[0] not in changed]
    assert kept == [
        (name, text)
        for name, text in members(sent)
        if name not in changed
        and not _leaves_out(operation, request, name, dialect, scoped=scoped)
    ]
    values = json.loads(got)
    assert values["model"] == SOURCE
    if scoped:
        assert not SCOPED[operation.name] & values.keys()
        assert values.get("cache_salt") in {None, _SALT}
    else:
        assert "cache_salt" not in values
        _as_the_judge_says(request, sent, out, dialect)


def _leaves_out(
    operation: Operation, request: InferenceRequest, name: str, dialect: str, *, scoped: bool
) -> bool:
    rule, place = field_of(operation.name, name), DIALECTS.index(dialect)
    assert rule is not None
    if scoped and name in SCOPED[operation.name]:
        return True
    given = name in request.fields
    if not given:
        return rule.since > place or not rule.nullable
    return rule.since > place and rule.missing is Missing.DROP


def _as_the_judge_says(
    request: InferenceRequest, sent: bytes, out: list[tuple[str, str]], dialect: str
) -> None:
    """Ask the judge that the differential tests have, where it knows such a request."""
    operation = request.operation.name
    if operation not in edits.SCHEMAS:
        return
    asked = Asked(operation, sent)
    options = asked.values.get("stream_options") or {}
    flags = [asked.values.get("stream"), *options.values()]
    if all(flag is None or isinstance(flag, bool) for flag in flags):
        edits.check(asked, members(sent), out, dialect=dialect, source=SOURCE)


_BODIES: tuple[tuple[int, Any], ...] = (
    (0, {"model": "m", "messages": [{"role": "user", "content": "hi é 漢"}], "stream": True}),
    (
        0,
        {
            "model": "m", "messages": [{"role": "user", "content": "x"}],
            "max_completion_tokens": 5, "max_tokens": None, "n": 2, "tools": [{"type": "f"}],
            "tool_choice": "required", "seed": 7, "logprobs": True, "user": "u",
            "stream_options": {"include_usage": False}, "stream": True, "top_k": None,
        },
    ),
    (1, {"model": "m", "prompt": "p"}),
    (1, {"model": "m", "prompt": ["p", 'q"\\'], "max_tokens": 5, "temperature": 0.5}),
    (1, {"model": "m", "prompt": [[1, 2], [3]], "best_of": 3, "stop": ["a"], "echo": False}),
    (1, {"model": "m", "prompt": [1, 2, 3], "stream": True, "max_completion_tokens": 3}),
    (2, {"model": "m", "input": [{"role": "user"}], "instructions": "i", "metadata": {}}),
    (3, {"model": "m", "input": ["a", "b"], "encoding_format": "float", "user": None}),
    (4, {"model": "m", "messages": [{"role": "user"}], "max_tokens": 5, "other": [{}]}),
    (5, {"model": "m", "prompt": "p"}),
    (128, {"model": "m", "messages": [{"role": "user"}], "chat_template": None, "stream": 1}),
    (132, {"model": "m", "messages": [{"role": "u"}], "max_tokens": 5, "documents": None}),
)  # fmt: skip
_LOOSE = b'\xef\xbb\xbf { "prompt" : "a" ,\n"model":"x", "model" : "m" , "n":null}'
SEEDS = (
    *(
        bytes([kind, window]) + json.dumps(body, ensure_ascii=bool(window)).encode()
        for kind, body in _BODIES
        for window in (0, 90)
    ),
    b"\x01\x00" + _LOOSE,
    b"\x01\x5a" + b'{"model":"m","prompt":[%b7]}' % (b"123, " * 40),
    *(
        b'\x00%c{"model":"m","messages":[{"role":"u","content":"%b"}]}'
        % (window, ("\\ud83d\\ude00é" * 40).encode())
        for window in (90, 123)
    ),
    *(
        b'\x00\x00{"model":"m","messages":[{"role":"u","content":%b}]}' % (b"[" * n + b"]" * n)
        for n in (LIMITS.depth - 3, LIMITS.depth - 2)
    ),
)
_TAKEN = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b"\\u",
    b"\\ud83d",
    b"\\ude00",
    b"\\\\",
)
_VALUES = (
    b"null", b"true", b"false", b"NaN", b"-0", b"1e3", b"0.5", b"01", b"-1", b"5.0", b'" 5 "',
    b'"yes"', b"2147483648", b"9223372036854775808", b"18446744073709551616", b"[]", b"{}",
    b'""', b"\xef\xbb\xbf", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\x00", b"\t", b"\r", b" ",
    b"[[[[[[[[[[[[", b"]]]]]]]]]]]]", b"0," * 28,
)  # fmt: skip
_NAMES = tuple(
    b',"%b":' % name
    for name in (
        b"model", b"prompt", b"messages", b"stream", b"stream_options", b"max_tokens", b"n",
        b"max_completion_tokens", b"best_of", b"top_k", b"store", b"lora_request", b"logprobs",
        b"reasoning_effort", b"parallel_tool_calls", b"cache_salt", b"previous_response_id",
        b"prompt_token_ids", b"unheard_of", b"mo\\u0064el", b"seed", b"suffix", b"priority",
    )
)  # fmt: skip
TARGET = Target("body", one, SEEDS, (*_TAKEN, *_VALUES, *_NAMES))
