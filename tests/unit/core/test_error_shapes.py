import json

import pytest

from gateway.core import errors
from gateway.core.error_shapes import body_of, error_type, event_of
from gateway.core.errors import GatewayError
from gateway.core.operation import ErrorShape

TYPES = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GatewayError)
}
every_error = pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
every_shape = pytest.mark.parametrize("shape", ErrorShape)


def made(kind):
    if kind is errors.MethodNotAllowed:
        return kind("/p", "PUT", allow="POST")
    return kind('no "é"\n\nhere', param="n")


def payload(event):
    head, data = event.removesuffix(b"\n\n").rsplit(b"data: ", 1)
    assert b"\n" not in data
    return head, json.loads(data)


@every_error
@every_shape
def test_every_shape_holds_the_same_error(kind, shape):
    error = made(kind)
    for body in (json.loads(body_of(error, shape)), payload(event_of(error, shape))[1]):
        told = body["error"]
        assert (told["message"], told["code"]) == (str(error), error.code)
        assert told["param"] == error.param
        assert set(told) == {"message", "type", "param", "code"}


@every_error
def test_a_stream_of_chunks_ends_in_a_bare_event(kind):
    head, body = payload(event_of(made(kind), ErrorShape.CHUNK))
    assert head == b""
    assert set(body) == {"error"}


@every_error
def test_a_stream_of_typed_events_ends_in_an_event_that_old_and_new_readers_know(kind):
    error = made(kind)
    head, body = payload(event_of(error, ErrorShape.TYPED))
    assert head == b"event: error\n"
    assert body["type"] == "error"
    assert (body["message"], body["code"], body["param"]) == (
        str(error), error.code, error.param
    )  # fmt: skip
    assert body["sequence_number"] == 0
    later = payload(event_of(error, ErrorShape.TYPED, 7))[1]
    assert later == body | {"sequence_number": 7}
    assert json.loads(body_of(error, ErrorShape.TYPED)) == {"error": body["error"]}


MESSAGE_TYPES = {
    "InvalidRequest": "invalid_request_error",
    "InvalidApiKey": "authentication_error",
    "PermissionDenied": "permission_error",
    "ModelNotFound": "not_found_error",
    "RequestTooLarge": "request_too_large",
    "UpstreamError": "api_error",
    "UpstreamTimeout": "api_error",
    "Overloaded": "overloaded_error",
    "GatewayInternal": "api_error",
}


@pytest.mark.parametrize(("name", "named"), MESSAGE_TYPES.items())
def test_anthropics_clients_get_their_own_words(name, named):
    error = made(TYPES[name])
    body = json.loads(body_of(error, ErrorShape.MESSAGE))
    assert (body["type"], body["error"]["type"]) == ("error", named)
    assert payload(event_of(error, ErrorShape.MESSAGE)) == (b"event: error\n", body)


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


def test_an_error_is_rendered_as_the_sdks_expect_it():
    error = errors.InvalidRequest('no "é" here', param="n")
    body = {
        "message": 'no "é" here',
        "type": "invalid_request_error",
        "param": "n",
        "code": "invalid_request",
    }
    sent = body_of(error, ErrorShape.CHUNK)
    assert json.loads(sent) == {"error": body}
    event = event_of(error, ErrorShape.CHUNK)
    assert event == b"data: " + sent + b"\n\n"
    assert b"[DONE]" not in event


def test_a_method_that_is_not_allowed_says_which_are():
    refused = errors.MethodNotAllowed("/v1/models", "PUT", allow="GET, HEAD")
    assert str(refused) == "/v1/models takes GET, HEAD, not PUT"
    assert refused.allow == "GET, HEAD"
