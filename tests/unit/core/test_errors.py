import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError, Source

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
    "gateway_internal": 500, "request_quarantined": 502,
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


def test_a_reason_is_added_to_the_message_alone():
    error = errors.ReplicaBusy("full", param="n", retry_after_s=2)
    more = error.because("and so on")
    assert type(more) is errors.ReplicaBusy
    assert (str(more), more.param, more.retry_after_s) == ("full; and so on", "n", 2)


def test_a_client_that_was_too_slow_is_not_asked_to_send_it_all_again():
    assert not errors.RequestTimeout("slow").client_may_retry  # though SDKs would after a 408
