"""Whatever goes wrong, the client raises its own error with a code: no silence, no crash."""

import pytest

from tests.sdk.calls import QUESTION, REFUSED, call, for_model
from tests.sdk.conftest import API_KEY, FAULTY, GOOD

STREAMED = [
    call("chat", "chat", messages=QUESTION, max_tokens=40, stream=True),
    call("completion", "completions", prompt="Once", max_tokens=40, stream=True),
]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("cut", "upstream_disconnected"),
        ("end_early", "upstream_disconnected"),
        ("half_event", "upstream_disconnected"),
        ("no_done", "upstream_disconnected"),
        ("garbage", "upstream_protocol_error"),
        ("stall", "upstream_stalled"),
    ],
)
def test_a_stream_that_the_replica_did_not_finish_raises_after_the_text_so_far(
    client, target, kind, code
):
    calls = for_model(FAULTY, STREAMED)
    with target.fault(kind, after_tokens=5):
        results = client.call(target.gateway.url, *calls, api_key=API_KEY)
    for name in ("chat", "completion"):
        assert results[name]["choices"][0]["text"], name
        assert results[name]["error"]["class"] == "APIError", name
        assert results[name]["error"]["code"] == code, name


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("cut", "upstream_disconnected"),
        ("end_early", "upstream_disconnected"),
        ("half_event", "upstream_disconnected"),
        ("garbage", "upstream_protocol_error"),
        ("stall", "upstream_stalled"),
    ],
)
def test_so_does_a_stream_of_the_responses_api(client, target, kind, code):
    asked = call("response", "responses", input="Once", max_output_tokens=40, stream=True)
    with target.fault(kind, after_tokens=5):
        results = client.call(target.gateway.url, *for_model(FAULTY, [asked]), api_key=API_KEY)
    broken = results["response"]
    assert broken["text"]
    assert broken["status"] is None
    assert (broken["error"]["class"], broken["error"]["code"]) == ("APIError", code)
    assert broken["models"] == [FAULTY]


def test_asked_directly_the_same_replica_would_be_believed(client, target):
    """The reason for the gateway's error event: without it, a short answer looks whole."""
    with target.fault("end_early", after_tokens=5):
        results = client.call(target.replica_url(FAULTY), *for_model("any", STREAMED))
    assert results["chat"]["error"] is None
    assert results["chat"]["choices"][0]["finish_reason"] is None


def test_a_wrong_key_is_an_authentication_error(client, target):
    wrong = client.call(target.gateway.url, *for_model(GOOD, STREAMED), api_key="wrong" * 8)
    for name in ("chat", "completion"):
        assert wrong[name]["error"] == {
            "class": "AuthenticationError",
            "status": 401,
            "code": "invalid_api_key",
            "type": "authentication_error",
            "param": None,
            "message": wrong[name]["error"]["message"],
        }


def test_a_bad_request_is_an_error_that_names_the_field(client, target):
    calls = for_model(GOOD, list(REFUSED.values()))
    results = client.call(target.gateway.url, *calls, api_key=API_KEY)
    seen = {name: results[name]["error"] for name in REFUSED}
    shown = {
        name: (error["class"], error["status"], error["code"], error["param"])
        for name, error in seen.items()
    }
    assert shown == {
        "unknown model": ("NotFoundError", 404, "model_not_found", "model"),
        "wrong type": ("BadRequestError", 400, "invalid_request", "max_tokens"),
        "no prompt": ("BadRequestError", 400, "invalid_request", "prompt"),
        "zero tokens": ("BadRequestError", 400, "invalid_request", "max_tokens"),
    }
    assert "no-such-model" in seen["unknown model"]["message"]
