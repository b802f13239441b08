"""Fields by era: what is accepted, what is refused, in whose words."""

import json

import pytest

from backends.simulator.dialects import DIALECTS
from backends.simulator.errors import Refused, check_body
from backends.simulator.schema import accepted_fields, request_model

COMPLETION = {"model": "m", "prompt": "a"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
VALUES = {
    "reasoning_effort": "low",
    "cache_salt": "s",
    "prompt_ignore_length": 1,
    "parallel_tool_calls": True,
    "priority": 0.5,
    "thinking": {"type": "enabled"},
}


def accepts(name, dialect, body):
    model = request_model(name, DIALECTS[dialect].era)
    try:
        check_body(json.dumps(body).encode(), model, DIALECTS[dialect], "/v1/x")
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("field", "since"),
    [
        ("reasoning_effort", "1.1"),
        ("cache_salt", "1.1"),
        ("prompt_ignore_length", "1.2"),
        ("parallel_tool_calls", "main"),
        ("priority", "main"),
        ("thinking", "main"),
    ],
)
def test_fields_are_accepted_from_their_release_on(field, since):
    names = list(DIALECTS)
    seen = [accepts("ChatCompletionRequest", n, CHAT | {field: VALUES[field]}) for n in names]
    assert seen == [at >= names.index(since) for at in range(len(names))]
    for name in names:
        listed = field in accepted_fields("ChatCompletionRequest", DIALECTS[name].era)
        assert listed is (names.index(name) >= names.index(since))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "field",
    ["store", "metadata", "service_tier", "modalities", "prediction", "enable_thinking"],
)
def test_what_openais_clients_send_besides_is_refused_everywhere(dialect, field):
    for name, body in (("CompletionRequest", COMPLETION), ("ChatCompletionRequest", CHAT)):
        assert accepts(name, dialect, body)
        assert not accepts(name, dialect, body | {field: None})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_both_names_of_the_token_limit_are_fields_but_not_together(dialect):
    for one in ({"max_tokens": 1}, {"max_completion_tokens": 1}):
        assert accepts("ChatCompletionRequest", dialect, CHAT | one)
    both = CHAT | {"max_tokens": 1, "max_completion_tokens": 1}
    assert not accepts("ChatCompletionRequest", dialect, both)
    assert {"max_tokens", "max_completion_tokens"} <= accepted_fields(
        "ChatCompletionRequest", DIALECTS[dialect].era
    )


@pytest.mark.parametrize(
    ("choice", "accepted"),
    [
        ("none", ["1.0", "1.1", "1.2", "main"]),
        ("auto", ["1.1", "1.2", "main"]),
        ("required", ["main"]),
        ({"type": "function", "function": {"name": "f"}}, ["1.0", "1.1", "1.2", "main"]),
    ],
)
def test_tool_choices_by_release(choice, accepted):
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = CHAT | {"tools": tools, "tool_choice": choice}
    assert [n for n in DIALECTS if accepts("ChatCompletionRequest", n, body)] == accepted


@pytest.mark.parametrize(
    ("kind", "accepted"),
    [
        ("json_object", ["1.0", "1.1", "1.2", "main"]),
        ("json_schema", ["1.2", "main"]),
        ("regex", ["1.2", "main"]),
        ("nonsense", []),
    ],
)
def test_response_formats_by_release(kind, accepted):
    body = CHAT | {"response_format": {"type": kind}}
    assert [n for n in DIALECTS if accepts("ChatCompletionRequest", n, body)] == accepted


def test_only_the_newest_messages_may_carry_more_keys():
    body = CHAT | {"messages": [{"role": "user", "content": "a", "thoughts": "b"}]}
    assert [n for n in DIALECTS if accepts("ChatCompletionRequest", n, body)] == ["main"]


def test_a_named_choice_needs_tools():
    body = CHAT | {"tool_choice": {"type": "function", "function": {"name": "f"}}}
    assert not accepts("ChatCompletionRequest", "1.2", body)


@pytest.mark.parametrize(
    "prompt", ["a", ["a", "b"], [1, 2], [[1], [2, 3]]], ids=["text", "texts", "ids", "lists"]
)
def test_four_forms_of_prompt(prompt):
    assert accepts("CompletionRequest", "1.2", COMPLETION | {"prompt": prompt})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ResponsesRequest", {"model": "m", "input": "a"}),
        ("MessagesRequest", CHAT | {"max_tokens": 1}),
        ("CountTokensRequest", CHAT),
    ],
)
def test_the_newest_of_the_later_endpoints_take_unknown_fields(name, body):
    assert accepts(name, "main", body | {"unknown": 1})
    assert not accepts(name, "main", body | {"model": None})
    if name == "ResponsesRequest":
        assert [n for n in DIALECTS if accepts(name, n, body | {"unknown": 1})] == ["main"]


def test_newer_refusals_count_their_errors():
    model = request_model("CompletionRequest", "C")
    with pytest.raises(Refused) as refused:
        check_body(b'{"a":1}', model, DIALECTS["1.2"], "/v1/completions")
    text = json.loads(refused.value.body)["error"]
    assert text.startswith("3 validation errors:\n  {'type': 'missing', ")
    assert text.endswith("POST /v1/completions")
