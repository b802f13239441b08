import json
from types import SimpleNamespace

import msgspec
import pytest

from gateway.core.errors import UnsupportedByReplica
from gateway.core.field_tables import FIELDS
from gateway.core.fields import NEVER, Missing
from gateway.core.fields_relayed import EMBEDDINGS_FIELDS, MESSAGES_FIELDS, TOKENIZE_FIELDS
from gateway.core.fields_responses import OTHER_FIELD, RESPONSES_FIELDS, refuse_unserved

OPEN = {"responses": RESPONSES_FIELDS, "messages": MESSAGES_FIELDS}
TABLES = {**OPEN, "embeddings": EMBEDDINGS_FIELDS, "tokenize": TOKENIZE_FIELDS}
every = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
every_open = pytest.mark.parametrize("table", OPEN.values(), ids=OPEN)

GOOD = {
    "model": "m", "input": "x", "instructions": "x", "previous_response_id": "resp_1",
    "max_output_tokens": 1, "max_tool_calls": 1, "temperature": 1, "top_p": 0.5,
    "top_logprobs": 20, "thinking_token_budget": 0, "stream": True, "stream_options": {},
    "store": False, "metadata": {"a": "b"}, "include": ["x"], "reasoning": {"effort": "low"},
    "text": {"format": {"type": "text"}}, "tools": [{"type": "function", "name": "f"}],
    "tool_choice": {"type": "auto"}, "parallel_tool_calls": True, "truncation": "auto",
    "user": "u", "background": False, "dimensions": 5, "encoding_format": "base64",
    "messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "top_k": 0,
    "stop_sequences": ["x"], "betas": ["x"], "thinking": {"type": "disabled"}, "prompt": "x",
}  # fmt: skip
BAD = {
    "model": "", "input": 7, "max_output_tokens": 0, "temperature": -1, "top_p": 2,
    "stream": "maybe", "metadata": [], "tools": [{}], "truncation": "some", "dimensions": 0,
    "encoding_format": "int8", "messages": [{}], "max_tokens": 0, "stop_sequences": "x",
    "previous_response_id": 7, "chat_template": 7,
}  # fmt: skip
LOOSE = {"input": {"embeddings"}, "tools": {"messages"}}
"""Checked by whoever counts the inputs, or by the replica."""


def read(field, value):
    return field.decoder.decode(json.dumps(value))


@every
def test_right_values_are_taken_and_null_is_nothing(table):
    for name, field in table.items():
        if name in GOOD:
            read(field, GOOD[name])
        read(field, None)


@pytest.mark.parametrize("named", TABLES)
def test_wrong_values_are_refused(named):
    seen = 0
    for name, value in BAD.items():
        field = TABLES[named].get(name)
        if field is not None and named not in LOOSE.get(name, ()) and field.since != NEVER:
            seen += 1
            with pytest.raises(msgspec.DecodeError):
                read(field, value)
    assert seen


@every_open
def test_what_needs_a_scope_elsewhere_needs_it_here(table):
    scoped = {n for fields in FIELDS.values() for n, field in fields.items() if field.scoped}
    assert {name for name, field in table.items() if field.scoped} == scoped


@every_open
def test_what_the_gateway_alone_may_say_never_reaches_a_replica(table):
    hidden = {"cache_salt", "injected_chat_template_kwargs", "prompt_token_ids_b64"}
    if table is RESPONSES_FIELDS:
        hidden |= {"request_id", "background"}
    for name in hidden:
        assert (table[name].since, table[name].missing) == (NEVER, Missing.DROP)


def test_an_unknown_field_is_left_out_for_replicas_that_would_refuse_it():
    assert (OTHER_FIELD.since, OTHER_FIELD.missing, OTHER_FIELD.scoped) == (
        3,
        Missing.DROP,
        False,
    )


def test_what_would_change_the_answer_is_never_left_out():
    for name in ("conversation", "prompt", "context_management", "moderation"):
        assert (RESPONSES_FIELDS[name].since, RESPONSES_FIELDS[name].missing) == (
            NEVER, Missing.REFUSE
        )  # fmt: skip


def test_nothing_runs_in_the_background():
    refuse_unserved(SimpleNamespace(background=False))
    refuse_unserved(SimpleNamespace(background=None))
    with pytest.raises(UnsupportedByReplica) as refused:
        refuse_unserved(SimpleNamespace(background=True))
    assert refused.value.param == "background"
