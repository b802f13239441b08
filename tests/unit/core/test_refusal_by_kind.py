"""Refusals that depend on what was asked for, and of replicas that cannot serve it at all."""

import pytest

from gateway.core.errors import (
    InvalidRequest,
    ReplicaBusy,
    ResponseNotFound,
    RouteMissing,
    Source,
    UnsupportedByReplica,
)
from gateway.core.operation import DELETE, OPERATIONS, RESPONSES, RETRIEVE
from gateway.core.refusal import lacks_route
from tests.unit.core.test_refusal import flat, told


@pytest.mark.parametrize(
    ("message", "kind", "param"),
    [
        ("No call message found for secret", InvalidRequest, "input"),
        ("Unknown input type: secret", InvalidRequest, "input"),
        ("Unknown part type: secret", InvalidRequest, None),
        ("require temperature >= 0, got temperature=-1", InvalidRequest, "temperature"),
        ("Responses API only supports harmony format for now", UnsupportedByReplica, None),
        ("Response storage is disabled", UnsupportedByReplica, "previous_response_id"),
        ("`dimensions` needs a model that has them", UnsupportedByReplica, None),
    ],
)
def test_only_a_field_of_the_same_kind_of_request_is_named(message, kind, param):
    refused = told(400, flat(message), RESPONSES)
    assert (type(refused), refused.param) == (kind, param)
    assert "secret" not in str(refused)
    assert told(400, flat(message), RETRIEVE).param is None


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
