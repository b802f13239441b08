import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dialect import body_for, era, needs, unsupported, with_max_tokens
from gateway.core.field_tables import FIELDS
from gateway.core.fields import DIALECTS, NEVER, Missing
from gateway.core.operation import CHAT, COMPLETIONS
from tests.unit.core.transcripts import chat, completion, request

SAMPLES = {
    "frequency_penalty": 0.5, "presence_penalty": -1, "logit_bias": {"5": 1.5}, "n": 2,
    "best_of": 2, "seed": -3, "stop": ["a", "\n"], "stream": False, "temperature": 0,
    "top_p": 1, "user": 'x"y', "response_format": {"type": "json"}, "use_beam_search": False,
    "top_k": 0, "top_p_min": 0.5, "min_p": 0.1, "repetition_penalty": 1.1,
    "length_penalty": 2, "early_stopping": True, "stop_token_ids": [1],
    "include_stop_str_in_output": True, "ignore_eos": True, "min_tokens": 1,
    "skip_special_tokens": False, "spaces_between_special_tokens": True,
    "truncate_prompt_tokens": 5, "add_special_tokens": False, "prompt_ignore_length": 1,
    "lora_request": {"lora_name": "a"}, "disaggregated_params": {}, "priority": 0.5,
    "conversation_params": {"a": [1]}, "thinking_token_budget": 3, "store": True,
    "metadata": {"k": "v"}, "service_tier": "auto", "safety_identifier": "s",
    "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prediction": {"a": 1},
    "echo": True, "logprobs": 2, "suffix": "", "return_context_logits": False,
    "detokenize": False, "top_logprobs": 2, "tools": [{"type": "function", "x": {}}],
    "tool_choice": "auto", "parallel_tool_calls": False, "reasoning_effort": "low",
    "add_generation_prompt": True, "documents": [{"text": "t"}], "chat_template": "{{x}}",
    "chat_template_kwargs": {"enable_thinking": False}, "cache_salt": "s",
    "agent_hierarchy": ["a"], "mm_processor_kwargs": {}, "media_io_kwargs": {},
    "thinking": {"type": "enabled"}, "verbosity": "low", "modalities": ["text"],
    "audio": {}, "web_search_options": {}, "functions": [{"name": "f"}],
    "function_call": "auto", "prompt_token_ids": [1], "prompt_token_ids_b64": "AQ==",
}  # fmt: skip
SHAPED = {
    "model",
    "prompt",
    "messages",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
}
BASE = {
    "completions": {"model": "m", "prompt": "p"},
    "chat": {"model": "m", "messages": [{"role": "user", "content": 'a"model":"x"'}]},
}


def test_every_field_of_the_table_has_a_sample_here():
    for operation in (CHAT, COMPLETIONS):
        assert set(FIELDS[operation.name]) <= set(SAMPLES) | SHAPED


def sent_on(parsed, *, source="m", dialect="main"):
    return b"".join(body_for(parsed, source=source, dialect=dialect))


@settings(deadline=None)
@given(
    operation=st.sampled_from([CHAT, COMPLETIONS]),
    place=st.integers(0, len(DIALECTS) - 1),
    data=st.data(),
)
def test_a_replica_gets_every_field_that_it_accepts_unchanged_and_no_other(
    operation, place, data
):
    table = FIELDS[operation.name]
    names = data.draw(st.sets(st.sampled_from(sorted(set(table) - SHAPED))))
    sent = BASE[operation.name] | {name: SAMPLES[name] for name in names}
    sent = dict(data.draw(st.permutations(list(sent.items()))))
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\n")]))
    wire = json.dumps(sent, separators=separators).encode()
    out = sent_on(
        request(wire, operation=operation), source='so"ur/ce', dialect=DIALECTS[place]
    )
    accepted = [(name, sent[name]) for name in sent if table[name].since <= place]
    accepted = [(name, 'so"ur/ce' if name == "model" else value) for name, value in accepted]
    assert json.loads(out, object_pairs_hook=list) == json.loads(
        json.dumps(dict(accepted)), object_pairs_hook=list
    )


ODD = (
    b'{ "prompt":"\\u0041\\/ \xc3\xa9", "temperature" : 1.50E+0 ,"top_k":"5","seed":-0,\n'
    b'"model":"m","logprobs":null,"user":"a","us\\u0065r":"b",'
    b'"stop":null , "ignore_eos":1,"n":1.0 }\n'
)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_need_not_change_goes_on_byte_for_byte(dialect):
    parsed = request(ODD)
    (piece,) = body_for(parsed, source="m", dialect=dialect)
    assert piece is ODD
    assert sent_on(parsed, source="x", dialect=dialect) == ODD.replace(b'"m"', b'"x"')


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "more",
    [
        b'"response_format":{"type":"json_schema","json_schema":{"schema":{"a":[1.50]}}}',
        b'"response_format":{"type":"regex","regex":"[a-z]\\\\d+"}',
        b'"response_format":{"type":"ebnf","ebnf":"root ::= \\"a\\""}',
        b'"response_format":{"type":"structural_tag","structures":[],"triggers":["<a>"]}',
        b'"prompt_token_ids":[1, 2,3],"repetition_penalty":1.10,"add_special_tokens":false',
        b'"top_k":5,"ignore_eos":true,"detokenize":false,"logprobs":null,"min_p":1e-2',
        b'"stop_token_ids":[],"logit_bias":{"5": -1000},"frequency_penalty":20',
        b'"tools":[{"type":"function","function":{"name":"f","strict":null}}]',
    ],
)
def test_what_trtllm_serve_alone_knows_goes_on_byte_for_byte(more, dialect):
    wire = b'{"messages":[{"role":"user","content":null}],"model":"m",%b}' % more
    (piece,) = body_for(request(wire, operation=CHAT), source="m", dialect=dialect)
    assert piece is wire


def test_all_names_of_the_model_are_replaced():
    sent = b'{"model":"x","m\\u006fdel":"y","prompt":"p","model":"m"}'
    out = b'{"model":"m","m\\u006fdel":"m","prompt":"p","model":"m"}'
    assert sent_on(request(sent)) == out


NULLS = {"model", "prompt", "messages", "stream_options"}


@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_null_goes_on_where_it_is_a_value_and_is_left_out_where_it_is_none(operation, dialect):
    table = FIELDS[operation.name]
    names = [name for name in table if name not in NULLS | {"max_completion_tokens"}]
    sent = BASE[operation.name] | dict.fromkeys(names)
    out = json.loads(
        sent_on(request(json.dumps(sent).encode(), operation=operation), dialect=dialect)
    )
    nullable = {
        name: None
        for name in names
        if table[name].nullable and table[name].since <= DIALECTS.index(dialect)
    }
    assert out == BASE[operation.name] | nullable
    assert {"logprobs", "seed", "stop", "truncate_prompt_tokens"} <= nullable.keys()
    assert not {"n", "top_k", "ignore_eos", "detokenize"} & nullable.keys()


LIMITS = ["max_tokens", "max_completion_tokens"]
limits = st.lists(st.tuples(st.sampled_from(LIMITS), st.integers(1, 9) | st.none()), max_size=4)


@settings(deadline=None)
@given(
    limits=limits,
    operation=st.sampled_from([CHAT, COMPLETIONS]),
    default=st.none() | st.just(77),
)
def test_a_replica_never_gets_both_names_of_the_token_limit(limits, operation, default):
    sent = [*BASE[operation.name].items(), *limits]
    wire = b"{%b}" % b",".join(json.dumps({k: v}).encode()[1:-1] for k, v in sent)
    parsed = request(wire, operation=operation)
    if default:
        parsed = with_max_tokens(parsed, default)
    out = json.loads(sent_on(parsed, dialect="1.1"), object_pairs_hook=list)
    last = dict(limits)
    wanted = last.get("max_completion_tokens") or last.get("max_tokens") or default
    got = {name: value for name, value in out if name in LIMITS}
    assert len(got) == (1 if wanted else min(1, len(got)))
    assert set(got.values()) <= {wanted}
    if operation is COMPLETIONS:
        assert "max_completion_tokens" not in got


def test_one_name_of_the_token_limit_goes_on_as_it_came():
    for limit in (b'"max_tokens": 5', b'"max_completion_tokens":"5"', b'"max_tokens":null'):
        wire = b'{"model":"m","messages":[{"role":"user"}],%b}' % limit
        (piece,) = body_for(request(wire, operation=CHAT), source="m", dialect="1.0")
        assert piece is wire


ASKED = b'"stream_options":{"include_usage":true}'


@pytest.mark.parametrize(
    ("options", "goes_out"),
    [
        (b"", b"," + ASKED),
        (b',"stream_options":null', b"," + ASKED),
        (b',"stream_options":{"include_usage":false}', b"," + ASKED),
        (b',"stream_options":{"include_usage":null }', b"," + ASKED),
        (b',"stream_options":{"include_obfuscation":false}', b"," + ASKED),
        (
            b',"stream_options":{"continuous_usage_stats": true,"include_obfuscation":true}',
            b',"stream_options":{"include_usage":true,"continuous_usage_stats":true}',
        ),
        (
            b',"stream_options":{"include_usage":false,"continuous_usage_stats":true}',
            b"," + ASKED,
        ),
        *(
            (b',"stream_options":' + same, b',"stream_options":' + same)
            for same in (
                b"{}",
                b'{"include_usage":true}',
                b'{"include_usage": true}',
                b'{ "include_usage" :1, "continuous_usage_stats" : false }',
            )
        ),
    ],
)
def test_a_stream_always_asks_for_its_usage(options, goes_out):
    stream = b'{"model":"m","prompt":"p","stream":true%b}'
    assert sent_on(request(stream % options)) == stream % goes_out


def test_what_is_not_streamed_sends_no_stream_options():
    sent = completion(b',"stream":false,"stream_options":null')
    assert json.loads(sent_on(sent, dialect="1.0"))["stream_options"] is None
    assert b"stream_options" not in sent_on(completion(b',"stream":false'))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tenants_are_kept_apart_in_the_cache_where_that_can_be(dialect):
    wire = b'{"model":"m","messages":[{"role":"user"}],"cache_salt":"mine"}'
    salted = request(wire, operation=CHAT, cache_salt="5a17")
    out = json.loads(sent_on(salted, dialect=dialect))
    assert out.get("cache_salt") == (None if dialect == "1.0" else "5a17")
    unsalted = sent_on(request(wire, operation=CHAT), dialect=dialect)
    assert unsalted == wire.replace(b',"cache_salt":"mine"', b"")
    no_chat = request(b'{"model":"m","prompt":"p"}', cache_salt="5a17")
    assert b"cache_salt" not in sent_on(no_chat, dialect=dialect)


def test_a_long_request_goes_on_in_pieces_of_what_came():
    wire = b'{"model":"m","prompt":"%b","store":true,"stream":true,"top_k":null}' % (
        b"x" * 99_999
    )
    pieces = body_for(request(wire), source="s", dialect="1.2")
    assert b"".join(pieces) == wire.replace(b'"m"', b'"s"').replace(
        b',"store":true', b""
    ).replace(b',"top_k":null}', b"," + ASKED + b"}")
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 60


@pytest.mark.parametrize(
    ("sent", "oldest", "field"),
    [
        (completion(), 0, None),
        (completion(b',"store":true,"metadata":{}'), 0, None),
        (completion(b',"prompt_ignore_length":1'), 2, "prompt_ignore_length"),
        (completion(b',"prompt_ignore_length":1,"priority":0.5'), 3, "priority"),
        (completion(b',"n":2'), 2, "n"),
        (completion(b',"best_of":2'), 2, "best_of"),
        (completion(b',"n":2,"priority":0.5'), 3, "priority"),
        (chat(b',"tool_choice":"auto"'), 0, None),
        (chat(b',"tool_choice":"required"'), 3, "tool_choice"),
        (chat(b',"audio":{}'), NEVER, "audio"),
        (chat(b',"audio":null,"functions":null'), 0, None),
    ],
)
def test_what_a_request_needs_of_its_replica(sent, oldest, field):
    assert needs(sent) == (oldest, field)


def test_an_unknown_era_is_taken_for_the_newest():
    assert [era(dialect) for dialect in (*DIALECTS, "2.0")] == [0, 1, 2, 3, 3]


def test_the_refusal_names_the_field_and_the_releases():
    refused = unsupported(completion(), "n", ["1.1", "1.0", "1.1"])
    assert "TensorRT-LLM 1.0, 1.1" in str(refused)
    assert (refused.status, refused.code, refused.param) == (400, "unsupported_by_replica", "n")


@pytest.mark.parametrize("operation", [CHAT, COMPLETIONS])
def test_a_limit_is_set_only_where_the_client_set_none(operation):
    make = chat if operation is CHAT else completion
    limited = with_max_tokens(make(), 7)
    assert limited.max_tokens == 7
    assert json.loads(sent_on(limited, dialect="1.0"))["max_tokens"] == 7
    own = make(b',"max_tokens":3')
    assert with_max_tokens(own, 7) is own
    nothing = with_max_tokens(make(b',"max_completion_tokens":null,"max_tokens":null'), 7)
    out = json.loads(sent_on(nothing, dialect="1.0"))
    assert (out["max_tokens"], "max_completion_tokens" in out) == (7, False)


def test_only_a_field_that_says_nothing_of_the_answer_is_dropped():
    dropped = {
        name
        for operation in (CHAT, COMPLETIONS)
        for name, field in FIELDS[operation.name].items()
        if field.missing is Missing.DROP
    }
    assert dropped == {
        "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "prediction", "parallel_tool_calls", "reasoning_effort",
        "cache_salt", "verbosity", "max_completion_tokens",
    }  # fmt: skip
