import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.dialects import DIALECTS
from backends.simulator.errors import Refused, check_body
from backends.simulator.schema import request_model
from gateway.core.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    UnsupportedByReplica,
    UpstreamError,
)
from gateway.core.operation import CHAT, COMPLETIONS
from gateway.core.refusal import message_of, refusal
from tests.unit.core.test_dialect import BASE


def told(status, body, operation=CHAT):
    return refusal(status, body, operation)


def flat(message):
    return json.dumps(
        {
            "object": "error",
            "message": message,
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }
    ).encode()


FORBIDDEN = (
    "[{'type': 'extra_forbidden', 'loc': ('body', 'enable_thinking'), "
    "'msg': 'Extra inputs are not permitted', 'input': False}]"
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (flat("a"), "a"),
        (b'{"error":"a"}', "a"),
        (b'{"detail":"a"}', "a"),
        (b'{"error":{"message":"a","code":null}}', "a"),
        (b'{"error":{}}', ""),
        (b'{"detail":[{"loc":["body","n"]}]}', "[{'loc': ['body', 'n']}]"),
        (b"{}", ""),
        (b"null", ""),
        (b"<html>", ""),
        (b'{"error":"\xff"}', ""),
        (b"[" * 50_000, ""),
    ],
)
def test_the_message_of_each_error_shape(body, message):
    assert message_of(body) == message


@given(status=st.integers(100, 599), body=st.binary(max_size=60))
def test_any_reply_becomes_an_error_of_ours(status, body):
    assert told(status, body).status in ({503} if status == 429 else {400, 502})


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            (
                "The sum of prompt length (72417.0), query length (0) should not exceed "
                "max_num_tokens (69632)"
            ),
            "up to 69632 tokens",
        ),
        (
            (
                "`default_max_tokens` (-152) must be greater than 0, `default_max_tokens` "
                "(-152) = max_seq_len (8192) - `splited_prompt_len` (8000) - ..."
            ),
            "up to 8192 tokens",
        ),
        ("Prompt length (9000) exceeds maximum input length (8192).", "up to 8192 tokens"),
        ("The prompt is too long", "longer than this model's context"),
        ("input of 9 tokens exceeds the context window", "longer than this model's context"),
    ],
)
def test_a_prompt_that_does_not_fit_is_said_to_be_too_long(message, limit):
    refused = told(400, flat(message))
    assert isinstance(refused, ContextLengthExceeded)
    assert (refused.status, refused.code) == (400, "context_length_exceeded")
    assert limit in str(refused)
    assert not refused.retryable


@pytest.mark.parametrize(
    "body",
    [
        flat(FORBIDDEN),
        json.dumps({"error": FORBIDDEN}).encode(),
        json.dumps({"error": f"1 validation error:\n  {FORBIDDEN[1:-1]}\n\n  File x"}).encode(),
        (
            b'{"detail":[{"type":"extra_forbidden","loc":["body","enable_thinking"],'
            b'"msg":"Extra inputs are not permitted","input":false}]}'
        ),
    ],
)
def test_the_field_that_a_replica_refuses_is_named(body):
    refused = told(422 if b"detail" in body else 400, body)
    assert type(refused) is InvalidRequest
    assert refused.param == "enable_thinking"


def test_a_violation_need_not_say_more_than_where_it_is():
    for place, param in (("('body', 'seed')", "seed"), ("('body',)", None)):
        refused = told(400, flat(f"[{{'loc': {place}}}]"))
        assert (type(refused), refused.param) == (InvalidRequest, param)


def test_what_the_client_sent_does_not_decide_how_its_refusal_is_read():
    said = "prompt length (1) max_num_tokens (2) is too long, not supported, CUDA"
    refused = told(400, flat(FORBIDDEN.replace("False", repr(said))))
    assert (type(refused), refused.param) == (InvalidRequest, "enable_thinking")


def test_a_field_of_the_gateways_own_is_never_the_clients_mistake():
    failed = told(400, flat(FORBIDDEN.replace("enable_thinking", "cache_salt")))
    assert isinstance(failed, UpstreamError)
    assert failed.retryable


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Multiple response is not supported in PyTorch workflow", "n"),
        ("Guided decoding is not enabled: set guided_decoding_backend", "response_format"),
        ("chat_template in the request is not allowed; start with ...", "chat_template"),
        ("response_format 'regex' is not simulated", "response_format"),
        ("System role not supported", None),
        ("Beam search is not supported with this sampler", None),
    ],
)
def test_what_a_release_cannot_do_is_not_the_clients_mistake(message, param):
    refused = told(400, flat(message))
    assert isinstance(refused, UnsupportedByReplica)
    assert (refused.status, refused.code, refused.param) == (
        400,
        "unsupported_by_replica",
        param,
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Invalid grammar at 3: secret prompt", "response_format"),
        ("Prompt must not be empty", "prompt"),
        ("Token ids must not be negative", None),
        ("require temperature >= 0, got temperature=-1 (secret)", "temperature"),
        ("require 0 <= top_p <= 1, got top_p=secret", None),
        ("max_tokens must be at least 1, got 0", "max_tokens"),
        ("best_of should not be smaller than n", "best_of"),
        ("Tool 'secret' not found in provided tools.", "tool_choice"),
        ("Unknown part type: secret", "messages"),
        ("Error rendering the chat template: secret", "messages"),
        ("Conversation roles must alternate user/assistant/secret", "messages"),
        ("1 validation error for secret", None),
        ("There was an error parsing the body", None),
        ("40 sequences exceed max_batch_size (32)", "n"),
    ],
)
def test_a_value_that_the_replica_finds_wrong_is_the_clients(message, param):
    refused = told(400, flat(message), COMPLETIONS if param == "prompt" else CHAT)
    assert type(refused) is InvalidRequest
    assert refused.param == param
    assert "secret" not in str(refused)


VIOLATIONS = [
    ("completions", {"enable_thinking": False}, "ABCE", InvalidRequest, "enable_thinking"),
    ("completions", {"n": None}, "ABCE", InvalidRequest, "n"),
    ("completions", {"stop": 1}, "ABCE", InvalidRequest, "stop"),
    (
        "completions", {"prompt_ignore_length": 1}, "AB",
        UnsupportedByReplica, "prompt_ignore_length",
    ),
    ("completions", {"logprobs": 1}, "AB", UnsupportedByReplica, "logprobs"),
    ("completions", {"logprobs": -1}, "CE", InvalidRequest, "logprobs"),
    ("completions", {"suffix": "x"}, "ABCE", UnsupportedByReplica, "suffix"),
    ("completions", {"best_of": 1, "n": 2}, "ABCE", InvalidRequest, "best_of"),
    (
        "completions", {"stream_options": {"include_usage": True}}, "ABCE",
        InvalidRequest, "stream_options",
    ),
    ("completions", {"prompt": None}, "ABCE", InvalidRequest, "prompt"),
    ("chat", {"stream_options": {}}, "ABCE", InvalidRequest, "stream_options"),
    ("chat", {"messages": [{"content": "x"}]}, "ABCE", InvalidRequest, "messages"),
    ("chat", {"messages": [{"role": "user", "n": 1}]}, "ABC", InvalidRequest, "messages"),
    ("chat", {"reasoning_effort": "low"}, "A", UnsupportedByReplica, "reasoning_effort"),
    ("chat", {"tool_choice": "auto"}, "A", UnsupportedByReplica, "tool_choice"),
    ("chat", {"tool_choice": "required"}, "BC", InvalidRequest, "tool_choice"),
    (
        "chat", {"tool_choice": {"function": {"name": "f"}}},
        "ABCE", InvalidRequest, "tool_choice",
    ),
    ("chat", {"top_logprobs": 2}, "AB", UnsupportedByReplica, "top_logprobs"),
    ("chat", {"top_logprobs": 2}, "CE", InvalidRequest, "logprobs"),
    ("chat", {"cache_salt": "x"}, "A", UpstreamError, None),
    (
        "chat", {"max_tokens": 1, "max_completion_tokens": 1},
        "ABCE", UnsupportedByReplica, "max_completion_tokens",
    ),
    (
        "chat", {"response_format": {"type": "regex", "regex": "x"}},
        "AB", InvalidRequest, "response_format",
    ),
]  # fmt: skip
MODELS = {"completions": "CompletionRequest", "chat": "ChatCompletionRequest"}


CASES = [
    (operation, sent, dialect, kind, param)
    for operation, sent, eras, kind, param in VIOLATIONS
    for dialect in DIALECTS.values()
    if dialect.era in eras
]


@pytest.mark.parametrize(("operation", "sent", "dialect", "kind", "param"), CASES)
def test_a_violated_schema_is_read_in_the_form_of_every_release(
    operation, sent, dialect, kind, param
):
    body = json.dumps(BASE[operation] | sent).encode()
    model = request_model(MODELS[operation], dialect.era)
    with pytest.raises(Refused) as replied:
        check_body(body, model, dialect, "/v1/x")
    asked = COMPLETIONS if operation == "completions" else CHAT
    refused = told(replied.value.status, replied.value.body, asked)
    assert (type(refused), refused.param) == (kind, param)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_body_that_a_replica_cannot_parse_is_the_clients(dialect):
    model = request_model("CompletionRequest", dialect.era)
    for body in (b"{", b"", b"\xff", b"[" * 100_000):
        with pytest.raises(Refused) as replied:
            check_body(body, model, dialect, "/v1/x")
        assert type(told(replied.value.status, replied.value.body)) is InvalidRequest


ENGINES = [
    "",
    "CUDA out of memory",
    "'NoneType' has no attribute",
    "CUDA toolkit mismatch",
    "all tensors should be on the same device",
    "[TensorRT-LLM][ERROR] Assertion failed: mBuffer must be allocated",
    "Executor worker died",
    "max_seq_len of the engine differs from the checkpoint's",
    "std::vector template argument",
    "Request 7 was cancelled",
]


@pytest.mark.parametrize("message", ENGINES)
def test_any_other_400_is_a_fault_of_the_replica_and_may_be_tried_elsewhere(message):
    failed = told(400, flat(message))
    assert isinstance(failed, UpstreamError)
    assert failed.retryable
    assert "CUDA" not in str(failed)


@pytest.mark.parametrize("status", [201, 301, 401, 403, 500, 503])
def test_another_status_is_a_fault_of_the_replica(status):
    failed = told(status, flat(FORBIDDEN))
    assert isinstance(failed, UpstreamError)
    assert str(status) in str(failed)


def test_a_gpt_oss_model_reports_its_faults_under_another_type():
    body = flat("CUDA out of memory").replace(b"BadRequestError", b"internal_error")
    assert isinstance(told(400, body), UpstreamError)
    body = flat("Prompt must not be empty").replace(b"BadRequestError", b"internal_error")
    assert isinstance(told(400, body), InvalidRequest)


def test_a_disaggregated_servers_own_failure_is_no_mistake_of_the_client():
    failed = told(500, b'{"detail":"Internal server error: prompt is too long"}')
    assert isinstance(failed, UpstreamError)


def test_of_a_long_reply_only_the_beginning_is_read():
    assert type(told(400, flat(FORBIDDEN + "x" * 80_000))) is InvalidRequest
    assert type(told(400, flat("x" * 80_000 + "The prompt is too long"))) is UpstreamError
