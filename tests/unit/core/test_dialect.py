import json

import pytest
from hypothesis import given
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
    body = body_for(
        request(json.dumps(sent).encode(), operation=operation),
        source='so"ur/ce',
        dialect=DIALECTS[place],
    )
    pairs = json.loads(body, object_pairs_hook=list)
    got = json.loads(body)
    assert len(pairs) == len(got)
    accepted = {name: sent[name] for name in sent if table[name].since <= place}
    assert got == accepted | {"model": 'so"ur/ce'}


limits = st.dictionaries(
    st.sampled_from(["max_tokens", "max_completion_tokens"]), st.integers(1, 9) | st.none()
)


@given(limits=limits, operation=st.sampled_from([CHAT, COMPLETIONS]))
def test_a_replica_never_gets_both_names_of_the_token_limit(limits, operation):
    sent = BASE[operation.name] | limits
    parsed = request(json.dumps(sent).encode(), operation=operation)
    got = json.loads(body_for(parsed, source="s", dialect="1.1"))
    names = {"max_tokens", "max_completion_tokens"} & set(got)
    wanted = limits.get("max_completion_tokens") or limits.get("max_tokens")
    assert [got[name] for name in names] == ([] if wanted is None else [wanted])
    if operation is COMPLETIONS:
        assert "max_completion_tokens" not in got


@pytest.mark.parametrize(
    ("options", "goes_out"),
    [
        (b"", {"include_usage": True}),
        (b',"stream_options":{"include_usage":false}', {"include_usage": True}),
        (
            b',"stream_options":{"continuous_usage_stats":true,"include_obfuscation":true}',
            {"include_usage": True, "continuous_usage_stats": True},
        ),
    ],
)
def test_a_stream_always_asks_for_its_usage(options, goes_out):
    body = body_for(completion(b',"stream":true' + options), source="s", dialect="main")
    assert json.loads(body)["stream_options"] == goes_out


def test_what_is_not_streamed_sends_no_stream_options():
    sent = completion(b',"stream":false,"stream_options":null')
    assert "stream_options" not in json.loads(body_for(sent, source="s", dialect="1.0"))


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
    assert json.loads(body_for(limited, source="s", dialect="1.0"))["max_tokens"] == 7
    own = make(b',"max_tokens":3')
    assert with_max_tokens(own, 7) is own
    nothing = with_max_tokens(make(b',"max_completion_tokens":null'), 7)
    assert json.loads(body_for(nothing, source="s", dialect="1.0"))["max_tokens"] == 7


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
