import pytest

from gateway.core.outcome import AttemptOutcome, Outcome
from gateway.telemetry.spans import (
    client_attributes,
    client_error,
    server_attributes,
    server_error,
    server_name,
)
from tests.fakes.facts import attempt, refused, streamed


def test_a_request_is_named_by_method_and_route():
    assert server_name(streamed()) == "POST /v1/chat/completions"
    stored = server_name(streamed(operation="responses_delete"))
    assert stored == "DELETE /v1/responses/{response_id}"


@pytest.mark.parametrize(
    ("operation", "method", "route"),
    [
        ("responses", "POST", "/v1/responses"),
        ("responses_get", "GET", "/v1/responses/{response_id}"),
        ("tokenize", "POST", "/tokenize"),
    ],
)
def test_a_request_says_by_which_method_it_came_and_nothing_of_whose_response(
    operation, method, route
):
    attributes = server_attributes(streamed(operation=operation))
    assert attributes["http.request.method"] == method
    assert attributes["http.route"] == attributes["url.path"] == route


@pytest.mark.parametrize(
    ("outcome", "code", "error_code", "error"),
    [
        (Outcome.OK, 200, None, None),
        (Outcome.CLIENT_ERROR, 400, "invalid_request", None),
        (Outcome.REJECTED, 429, "rate_limit_exceeded", None),
        (Outcome.CLIENT_DISCONNECT, 499, None, None),
        (Outcome.REJECTED, 503, "server_overloaded", "server_overloaded"),
        (Outcome.SHUTDOWN, 503, None, "shutdown"),
        (Outcome.UPSTREAM_ERROR, 502, "upstream_error", "upstream_error"),
        (Outcome.TIMEOUT, 200, "upstream_stalled", "upstream_stalled"),
        (Outcome.STREAM_BROKEN, 200, None, "stream_broken"),
    ],
)
def test_only_a_failure_of_gateway_or_replica_is_an_error(outcome, code, error_code, error):
    facts = streamed(outcome=outcome, code=code, error_code=error_code)
    assert server_error(facts) == error


def test_a_request_says_how_it_went():
    attributes = server_attributes(streamed(tenant="a", arrivals=(10.25, 10.5, 11.0)))
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "trtgw.request_id": "req-1",
        "trtgw.model": "llama",
        "trtgw.outcome": "ok",
        "trtgw.attempts": 1,
        "trtgw.tenant": "a",
        "trtgw.e2e": 1.0,
        "trtgw.ttft": 0.25,
        "trtgw.tpot": 0.375,
        "trtgw.itl.max": 0.5,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 3,
    }


def test_a_status_that_was_never_sent_is_not_claimed():
    left = streamed(outcome=Outcome.CLIENT_DISCONNECT, code=499)
    assert "http.response.status_code" not in server_attributes(left)
    assert server_attributes(refused())["trtgw.rejection"] == "no_replica"


@pytest.mark.parametrize(
    ("outcome", "error_code", "error"),
    [
        (AttemptOutcome.OK, None, None),
        (AttemptOutcome.CANCELLED, None, None),
        (AttemptOutcome.HTTP_5XX, None, "http_5xx"),
        (AttemptOutcome.BROKEN, "upstream_disconnected", "upstream_disconnected"),
    ],
)
def test_an_attempt_is_an_error_unless_it_went_well_or_the_client_left(
    outcome, error_code, error
):
    assert client_error(attempt(outcome=outcome, error_code=error_code)) == error


def test_an_attempt_names_its_replica_and_a_second_one_that_it_is_one():
    first = client_attributes(streamed(), attempt())
    assert first["trtgw.replica"] == "r1"
    assert (first["server.address"], first["server.port"]) == ("127.0.0.1", 8000)
    assert first["trtgw.connect"] == 0.002
    assert "http.request.resend_count" not in first
    second = client_attributes(streamed(), attempt(2, connect_s=None))
    assert (second["trtgw.attempt"], second["http.request.resend_count"]) == (2, 1)
    assert "trtgw.connect" not in second
