import json

import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError, Source, error_body, error_event, error_type

TYPES = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GatewayError)
}
PUBLISHED = {
    "invalid_request": 400, "invalid_api_key": 401, "permission_denied": 403,
    "model_not_found": 404, "not_found": 404, "method_not_allowed": 405,
    "request_timeout": 408, "request_head_too_large": 431,
    "request_too_large": 413, "context_length_exceeded": 400, "unsupported_by_replica": 400,
    "upstream_error": 502, "upstream_disconnected": 502, "upstream_protocol_error": 502,
    "server_overloaded": 503, "model_loading": 503, "no_replica": 503,
    "server_shutting_down": 503, "upstream_timeout": 504, "upstream_stalled": 504,
    "gateway_internal": 500,
}  # fmt: skip
"""The codes that clients may rely on, each with its one status."""


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_every_error_has_a_published_code_with_its_status(kind):
    assert PUBLISHED[kind.code] == kind.status


def test_every_published_code_is_in_use():
    assert {kind.code for kind in TYPES.values()} == set(PUBLISHED)


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_only_faults_of_replicas_are_tried_elsewhere(kind):
    lacking = kind is errors.RouteMissing  # the request is right, and so is the replica
    assert kind.retryable <= (kind.source is Source.REPLICA or lacking)
    assert (kind.source is Source.CLIENT) == (kind.status < 500)


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "invalid_request_error"),
        (408, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
    ],
)
def test_the_type_of_each_status(status, named):
    assert error_type(status) == named


def test_a_reason_is_added_to_the_message_alone():
    error = errors.ReplicaBusy("full", param="n", retry_after_s=2)
    more = error.because("and so on")
    assert type(more) is errors.ReplicaBusy
    assert (str(more), more.param, more.retry_after_s) == ("full; and so on", "n", 2)


def test_a_client_that_was_too_slow_is_not_asked_to_send_it_all_again():
    assert not errors.RequestTimeout("slow").client_may_retry  # though SDKs would after a 408


def test_an_error_is_rendered_as_the_sdks_expect_it():
    error = errors.InvalidRequest('no "é" here', param="n")
    body = {
        "message": 'no "é" here',
        "type": "invalid_request_error",
        "param": "n",
        "code": "invalid_request",
    }
    assert json.loads(error_body(error)) == {"error": body}
    assert error_event(error) == b"data: " + error_body(error) + b"\n\n"
    assert b"[DONE]" not in error_event(error)


def test_a_method_that_is_not_allowed_says_which_are():
    refused = errors.MethodNotAllowed("/v1/models", "PUT", allow="GET, HEAD")
    assert str(refused) == "/v1/models takes GET, HEAD, not PUT"
    assert refused.allow == "GET, HEAD"
