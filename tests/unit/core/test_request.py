import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import cut
from gateway.core.dialect import body_for
from gateway.core.errors import GatewayError, InvalidRequest, PermissionDenied
from gateway.core.field_tables import FIELDS
from gateway.core.operation import CHAT, POSTED
from gateway.core.request import model_name, parse
from gateway.core.snapshot import Limits
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
        goes_out = json.loads(body_for(parsed, source="s", dialect="main"))
        assert None not in goes_out.values()
        limits = {"max_tokens", "max_completion_tokens"} & FIELDS[operation.name].keys()
        assert len(limits & goes_out.keys()) <= 1


def test_parsing_without_a_model_is_refused_as_well():
    for body in (b"{}", b'{"model":null}'):
        with pytest.raises(InvalidRequest, match='"model" is missing') as refused:
            model_name(cut(body, depth=9))
        assert refused.value.param == "model"
        with pytest.raises(InvalidRequest):
            parse(CHAT, cut(body, depth=9), Limits(), scopes=None)


@pytest.mark.parametrize("model", [b'""', b"7", b'["m"]', b'"%b"' % (b"m" * 513)])
def test_a_model_that_is_no_name_is_refused(model):
    with pytest.raises(InvalidRequest, match='field "model"'):
        model_name({"model": cut(b'{"model":%b}' % model, depth=9)["model"]})


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


def test_null_is_the_same_as_nothing():
    every = b"".join(
        b',"%b":null' % name.encode()
        for name in FIELDS["completions"]
        if name not in {"model", "prompt"}
    )
    assert request(b'{"model":"m","prompt":"p"%b}' % every, scopes=frozenset()) == completion()
    with pytest.raises(InvalidRequest, match='"prompt" is missing'):
        request(b'{"model":"m","prompt":null}')


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
        (b',"max_tokens":true', "max_tokens", "got `bool`"),
        (b',"top_k":-1', "top_k", ">= 0"),
        (b',"top_p":0', "top_p", "> 0"),
        (b',"top_p":1.1', "top_p", "<= 1"),
        (b',"temperature":-0.1', "temperature", ">= 0"),
        (b',"temperature":"nan"', "temperature", ">= 0"),
        (b',"temperature":1e999', "temperature", "out of range"),
        (b',"length_penalty":"nan"', "length_penalty", ">= -100"),
        (b',"length_penalty":"inf"', "length_penalty", "<= 100"),
        (b',"repetition_penalty":"-inf"', "repetition_penalty", "> 0"),
        (b',"stop":5', "stop", "got `int`"),
        (b',"logprobs":-1', "logprobs", ">= 0"),
        (b',"stream":"maybe"', "stream", "got `str`"),
        (b',"stream_options":{}', "stream_options", 'needs "stream": true'),
        (b',"temprature":1', "temprature", 'did you mean "temperature"'),
        (b',"zzz":1', "zzz", 'unknown field "zzz"$'),
        (b',"messages":[]', "messages", "unknown field"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_with_its_name(more, param, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        completion(more)
    assert refused.value.param == param
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")


def test_a_name_of_any_length_costs_nothing_and_is_not_repeated():
    name = b"x" * 8_000_000
    began = time.process_time()
    with pytest.raises(InvalidRequest) as refused:
        completion(b',"%b":1' % name)
    assert time.process_time() - began < 0.5
    assert len(str(refused.value)) < 100
    assert len(refused.value.param) < 100


def test_a_field_that_reaches_into_the_replica_needs_its_scope():
    body = b'{"model":"m","prompt":"p","lora_request":{"lora_name":"x"}}'
    with pytest.raises(PermissionDenied, match="lora_request") as refused:
        request(body, scopes=frozenset())
    assert (refused.value.status, refused.value.param) == (403, "lora_request")
    assert request(body, scopes=frozenset({"lora_request"})).model == "m"
    assert request(body, scopes=None).model == "m"
    nothing = b'{"model":"m","prompt":"p","lora_request":null}'
    assert request(nothing, scopes=frozenset()).model == "m"


@given(st.binary(max_size=60))
def test_any_bytes_after_a_good_start_raise_only_our_own_errors(tail):
    with suppress(GatewayError):
        request(b'{"model":"m","prompt":' + tail)
