import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    ReplicaBusy,
    ResponseNotFound,
    RouteMissing,
    Source,
    UnsupportedByReplica,
    UpstreamError,
)
from gateway.core.operation import CHAT, DELETE, OPERATIONS, RESPONSES, RETRIEVE
from gateway.core.refusal import lacks_route, message_of, refusal


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
        ("The prompt is too long", "longer than this model's context"),
    ],
)
def test_a_prompt_that_does_not_fit_is_said_to_be_too_long(message, limit):
    refused = told(400, flat(message))
    assert isinstance(refused, ContextLengthExceeded)
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


@pytest.mark.parametrize(
    "message",
    [
        "Multiple response is not supported in PyTorch workflow",
        "Responses API only supports harmony format for now",
        "Response storage is disabled",
        "`dimensions` needs a model whose vectors may be cut short; this one's may not.",
    ],
)
def test_what_a_release_cannot_do_is_not_the_clients_mistake(message):
    refused = told(400, flat(message))
    assert isinstance(refused, UnsupportedByReplica)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "Response with id 'resp_1' not found."),
        (400, "Invalid 'response_id': 'x'. Expected an ID that begins with 'resp'."),
    ],
)
def test_a_response_that_the_replica_does_not_keep_is_not_found_and_not_looked_for_elsewhere(
    status, message
):
    refused = told(status, flat(message))
    assert isinstance(refused, ResponseNotFound)
    assert not refused.retryable
    assert "resp_1" not in str(refused)


def test_a_replica_whose_own_queue_is_full_is_busy_and_others_may_have_room():
    refused = told(429, flat("queue full"))
    assert isinstance(refused, ReplicaBusy)
    assert refused.retryable
    assert refused.client_may_retry
    assert refused.retry_after_s == 1


@pytest.mark.parametrize(
    ("status", "body", "lacks"),
    [
        (404, b'{"detail":"Not Found"}', True),
        (405, b'{"detail":"Method Not Allowed"}', True),
        (404, b'{"detail":"Method Not Allowed"}', False),
        (400, b'{"detail":"Not Found"}', False),
        (404, b"<html>Not Found</html>", False),
        (404, flat("Response with id 'resp_1' not found."), False),
    ],
)
def test_an_endpoint_that_a_replica_lacks_is_known_by_its_frameworks_reply(status, body, lacks):
    assert lacks_route(status, body) is lacks


NO_ROUTE = b'{"detail":"Not Found"}'


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_any_endpoint_can_be_missing_from_a_server_for_another_task(operation):
    missing = told(404, NO_ROUTE, operation)
    assert isinstance(missing, RouteMissing)
    assert missing.retryable  # the next replica may be of another release
    assert missing.source is Source.CLIENT  # nothing is wrong with the replica
    assert missing.code == "unsupported_by_replica"
    route = f"{operation.method} {operation.path}"
    assert str(missing) == f"the model's replicas do not serve {route}"


@pytest.mark.parametrize(
    ("operation", "param"),
    [(RESPONSES, "previous_response_id"), (RETRIEVE, None), (DELETE, None)],
)
def test_a_response_that_is_gone_is_named_by_the_field_that_asked_for_it(operation, param):
    gone = told(404, flat("Response with id 'resp_1' not found."), operation)
    assert (gone.status, gone.param) == (404, param)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid grammar at 3: secret prompt",
        "Prompt must not be empty",
        "Token ids must not be negative",
        "require temperature >= 0, got temperature=-1 (secret)",
        "best_of should not be smaller than n",
        "Tool 'secret' not found in provided tools.",
        "Unknown part type: secret",
        "Error rendering the chat template: secret",
        "1 validation error for secret",
        "No call message found for secret",
        "Unknown input type: secret",
        "40 sequences exceed max_batch_size (32)",
    ],
)
def test_a_value_that_the_replica_finds_wrong_is_the_clients(message):
    refused = told(400, flat(message))
    assert type(refused) is InvalidRequest
    assert "secret" not in str(refused)


ENGINES = [
    "",
    "CUDA out of memory",
    "'NoneType' has no attribute",
    "CUDA toolkit mismatch",
    "all tensors should be on the same device",
    "[TensorRT-LLM][ERROR] Assertion failed: mBuffer must be allocated",
    "Executor worker died",
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


def test_a_reply_that_repeats_a_hostile_prompt_costs_little():
    began = time.process_time()
    for words in ("Extra inputs ", "prompt length (1) ", "only ", "default_max_tokens "):
        with suppress(UpstreamError):
            told(400, flat(words * 80_000))
    assert time.process_time() - began < 2
