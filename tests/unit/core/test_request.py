import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import field_tables
from gateway.core.body import cut
from gateway.core.dialect import body_for
from gateway.core.errors import GatewayError, InvalidRequest, PermissionDenied
from gateway.core.field_tables import FIELDS, field_of
from gateway.core.fields import DIALECTS
from gateway.core.operation import CHAT, COMPLETIONS, MESSAGES, POSTED, RESPONSES
from gateway.core.request import model_name, parse, parse_steps
from gateway.core.snapshot import Limits
from gateway.core.steps import finish
from tests.unit.core.json_texts import names
from tests.unit.core.transcripts import chat, completion, request

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "nan", "-inf", "1e3", "null", "true", "5", "auto", "\x00"])
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


BASE = {
    "completions": {"prompt": "p"},
    "responses": {"input": "p"},
    "messages": {"messages": [{"role": "user"}], "max_tokens": 5},
}


@settings(deadline=None)
@given(data=st.data(), operation=st.sampled_from(POSTED))
def test_any_json_in_any_field_is_accepted_or_refused_with_its_name(data, operation):
    known = st.sampled_from(sorted(FIELDS[operation.name]))
    fields = data.draw(st.dictionaries(known | st.text(max_size=4), values, max_size=5))
    base = {"model": "m"} | BASE.get(operation.name, {})
    try:
        parsed = parse(
            operation,
            cut(json.dumps(base | fields).encode(), depth=64),
            Limits(),
            scopes=frozenset(),
        )
    except GatewayError as refused:
        assert refused.param is not None  # noqa: PT017 - both ends are right
        assert refused.status in {400, 403}  # noqa: PT017
    else:
        assert 1 <= parsed.n <= parsed.best_of <= Limits().n
        assert parsed.prompts >= 1
        assert parsed.choices == parsed.n * parsed.prompts
        goes_out = json.loads(b"".join(body_for(parsed, source="s", dialect="main")))
        nulls = [field_of(operation.name, k) for k, value in goes_out.items() if value is None]
        assert all(field.nullable for field in nulls)
        limits = {"max_tokens", "max_completion_tokens"} & FIELDS[operation.name].keys()
        assert len(limits & goes_out.keys()) <= 1


def test_parsing_without_a_model_is_refused_as_well():
    for body in (b"{}", b'{"model":null}'):
        with pytest.raises(InvalidRequest, match='"model" is missing') as refused:
            model_name(cut(body, depth=9).fields)
        assert refused.value.param == "model"
        with pytest.raises(InvalidRequest):
            parse(CHAT, cut(body, depth=9), Limits(), scopes=None)


@pytest.mark.parametrize("model", [b'""', b"7", b'["m"]', b'"%b"' % (b"m" * 513)])
def test_a_model_that_is_no_name_is_refused(model):
    with pytest.raises(InvalidRequest, match='field "model"'):
        model_name(cut(b'{"model":%b}' % model, depth=9).fields)


def test_the_model_is_known_before_anything_else_is():
    assert model_name(cut(b'{"model":"m","zzz":1}', depth=9).fields) == "m"


def test_what_is_decided_on_is_drawn_out():
    parsed = request(
        b'{"model":"m","prompt":["a","bc"],"n":2,"best_of":3,"max_tokens":"5","stream":true,'
        b'"stream_options":{"include_usage":true,"continuous_usage_stats":true,"x":1}}'
    )
    assert parsed.model == "m"
    assert (parsed.n, parsed.best_of, parsed.prompts, parsed.choices) == (2, 3, 2, 4)
    assert parsed.max_tokens == 5
    assert parsed.stream
    assert parsed.usage_wanted
    assert parsed.usage_everywhere
    assert parsed.prompt_bytes == len(b'["a","bc"]')


def test_the_newer_name_of_the_token_limit_wins():
    assert chat(b',"max_tokens":5,"max_completion_tokens":9').max_tokens == 9
    assert chat(b',"max_tokens":5,"max_completion_tokens":null').max_tokens == 5


def test_null_is_checked_like_nothing():
    every = b"".join(
        b',"%b":null' % name.encode()
        for name in FIELDS["completions"]
        if name not in {"model", "prompt"}
    )
    nulls = request(b'{"model":"m","prompt":"p"%b}' % every, scopes=frozenset())
    nothing = completion()
    assert set(nulls.fields) == set(nothing.fields) == {"model", "prompt"}
    for name in ("stream", "usage_wanted", "n", "best_of", "prompts", "max_tokens", "choices"):
        assert getattr(nulls, name) == getattr(nothing, name)
    with pytest.raises(InvalidRequest, match='"prompt" is missing'):
        request(b'{"model":"m","prompt":null}')


def test_of_repeated_fields_only_the_last_is_checked_as_only_that_one_counts():
    assert completion(b',"n":"two","n":2').n == 2
    assert completion(b',"n":5,"n":null').n == 1
    with pytest.raises(InvalidRequest, match='field "n"'):
        completion(b',"n":2,"n":"two"')


@pytest.mark.parametrize("more", [0, 10_000, 100_000])
def test_a_long_request_is_checked_like_a_short_one(more):
    long = b'{"model":"m","prompt":"%b","n":2,"stop":["%b"]' % (b"x" * more, b"y" * more)
    assert request(long + b',"top_k":5}').n == 2
    with pytest.raises(InvalidRequest, match=">= 0") as refused:
        request(long + b',"top_k":-1}')
    assert refused.value.param == "top_k"


def test_a_long_value_is_checked_in_a_step_of_its_own():
    wire = b'{"model":"m","prompt":"p","user":"%b"}' % (b"x" * 100_000)
    steps = parse_steps(COMPLETIONS, cut(wire, depth=9), Limits(), scopes=None)
    assert next(steps) is None
    assert finish(steps).prompts == 1


def test_usage_is_wanted_only_where_it_was_asked_for():
    assert not completion(b',"stream":true').usage_wanted
    assert completion(b',"stream":true,"stream_options":{}').usage_wanted
    for says in (b"false", b"null"):
        assert not completion(
            b',"stream":true,"stream_options":{"include_usage":%b}' % says
        ).usage_wanted


@pytest.mark.parametrize(
    ("more", "param", "says"),
    [
        (b',"n":0', "n", ">= 1"),
        (b',"n":17', "n", "is 17; at most 16"),
        (b',"n":99999999999', "n", "<="),
        (b',"best_of":17', "best_of", "is 17; at most 16"),
        (b',"n":3,"best_of":2', "best_of", 'less than "n"'),
        (b',"max_tokens":0', "max_tokens", ">= 1"),
        (b',"max_tokens":-1', "max_tokens", ">= 1"),
        (b',"max_tokens":1.5', "max_tokens", "got `float`"),
        (b',"max_tokens":false', "max_tokens", "got `bool`"),
        (b',"max_tokens":9223372036854775808', "max_tokens", "<= 9223372036854775807"),
        (b',"seed":18446744073709551616', "seed", "<= 18446744073709551615"),
        (b',"seed":"18446744073709551616"', "seed", "<= 18446744073709551615"),
        (b',"top_k":-1', "top_k", ">= 0"),
        (b',"top_p":0', "top_p", "> 0"),
        (b',"top_p":1.1', "top_p", "<= 1"),
        (b',"temperature":-0.1', "temperature", ">= 0"),
        (b',"temperature":"nan"', "temperature", ">= 0"),
        (b',"temperature":1e999', "temperature", "out of range"),
        (b',"length_penalty":"nan"', "length_penalty", ">= -"),
        (b',"length_penalty":"inf"', "length_penalty", "<= 3.4e"),
        (b',"frequency_penalty":"nan"', "frequency_penalty", ">= -"),
        (b',"repetition_penalty":"-inf"', "repetition_penalty", "> 0"),
        (b',"stop":5', "stop", "got `int`"),
        (b',"logprobs":-1', "logprobs", ">= 0"),
        (b',"stream":"maybe"', "stream", "got `str`"),
        (b',"stream_options":{"include_usage":null}', "stream_options", 'needs "stream": true'),
        (b',"temprature":1', "temprature", 'did you mean "temperature"'),
        (b',"zzz":1', "zzz", 'unknown field "zzz"$'),
        (b',"messages":[]', "messages", "unknown field"),
        (b',"guided_json":{}', "guided_json", 'unknown field "guided_json"'),
        (b',"guided_json":null', "guided_json", 'unknown field "guided_json"'),
        (b',"return_perf_metrics":true', "return_perf_metrics", "unknown field"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_with_its_name(more, param, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        completion(more)
    assert refused.value.param == param
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")


def test_a_name_of_any_length_is_neither_compared_nor_repeated():
    with pytest.raises(InvalidRequest, match=r'unknown field "x{64}[.]{3}"$') as refused:
        completion(b',"%b":1' % (b"x" * 100_000))
    assert refused.value.param == "x" * 64


def test_a_field_that_reaches_into_the_replica_needs_its_scope():
    body = b'{"model":"m","prompt":"p","lora_request":{"lora_name":"x"}}'
    with pytest.raises(PermissionDenied, match="lora_request") as refused:
        request(body, scopes=frozenset())
    assert (refused.value.status, refused.value.param) == (403, "lora_request")
    assert request(body, scopes=frozenset({"lora_request"})).model == "m"
    assert request(body, scopes=None).model == "m"


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        (CHAT, b',"tools":[{"function":{"name":"f"}}]'),
        (CHAT, b',"max_completion_tokens":9007199254740991'),
        (COMPLETIONS, b',"max_tokens":9223372036854775807'),
        (COMPLETIONS, b',"truncate_prompt_tokens":9007199254740991'),
        (COMPLETIONS, b',"seed":18446744073709551615'),
        (COMPLETIONS, b',"early_stopping":"never"'),
        (COMPLETIONS, b',"stream_options": { }'),
        (COMPLETIONS, b',"logprobs":true'),
    ],
)
def test_what_a_replica_makes_sense_of_goes_on_as_it_is(operation, more):
    parsed = (chat if operation is CHAT else completion)(more)
    (out,) = body_for(parsed, source="m", dialect="main")
    assert more in out


def test_a_mark_of_the_byte_order_is_no_part_of_a_body():
    wire = b'{"model":"m","prompt":"p"}'
    parsed = request(b"\xef\xbb\xbf" + wire)
    assert body_for(parsed, source="m", dialect="main") == (wire,)


PROMPTS = {
    CHAT: [b'"messages":[]', b'"prompt_token_ids":[1]'],
    COMPLETIONS: [b'"prompt":"p"'],
    RESPONSES: [b'"input":"p"'],
    MESSAGES: [b'"messages":[{"role":"user"}]', b'"max_tokens":1'],
}
SCOPED = [(op, name) for op in PROMPTS for name in sorted(field_tables.SCOPED[op.name])]
CANARIES = {
    "documents": b'[{"text":"canary"}]', "chat_template": b'"canary"',
    "agent_hierarchy": b'["canary"]',
}  # fmt: skip


@settings(deadline=None)
@given(
    which=st.sampled_from(SCOPED),
    given=st.lists(st.booleans(), min_size=1, max_size=3),
    data=st.data(),
)
def test_no_replica_sees_a_value_that_the_key_may_not_send(which, given, data):
    operation, name = which
    value = CANARIES.get(name, b'{"x":"canary"}')
    fields = [b'"model":"m"', *PROMPTS[operation]]
    spellings = names(of=[name])
    sent = [
        data.draw(spellings).encode() + b":" + (value if each else b"null") for each in given
    ]
    at = data.draw(st.integers(0, len(fields)))
    wire = b"{" + b",".join([*fields[:at], *sent, *fields[at:]]) + b"}"
    if given[-1]:
        with pytest.raises(PermissionDenied, match=name) as refused:
            request(wire, operation=operation, scopes=frozenset())
        assert (refused.value.status, refused.value.param) == (403, name)
    else:
        parsed = request(wire, operation=operation, scopes=frozenset())
        for dialect in DIALECTS:
            out = b"".join(body_for(parsed, source="s", dialect=dialect))
            assert b"canary" not in out
            assert name not in json.loads(out)
    for scopes in (frozenset({name}), None):
        parsed = request(wire, operation=operation, scopes=scopes)
        out = b"".join(body_for(parsed, source="s", dialect="main"))
        assert json.loads(out).get(name) == json.loads(value if given[-1] else b"null")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_after_a_good_start_raise_only_our_own_errors(tail):
    with suppress(GatewayError):
        request(b'{"model":"m","prompt":' + tail)
