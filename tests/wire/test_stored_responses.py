"""What comes of a response later: it is fetched, deleted, gone on from, and forgotten."""

import pytest

from backends.simulator.response_store import CAPACITY
from tests.wire.bodies import RESPONSES, response, typed_events

GPT_OSS = "openai/gpt-oss-20b"


def streamed(served, **fields):
    return typed_events(served.post(RESPONSES, response(stream=True, **fields)).body)


def test_a_response_is_stored_fetched_and_deleted(simulator):
    served = simulator(dialect="main")
    whole = served.post(RESPONSES, response(max_output_tokens=5)).json
    path = f"{RESPONSES}/{whole['id']}"
    assert served.get(path).json == whole
    gone = {"id": whole["id"], "object": "response", "deleted": True}
    assert served.request("DELETE", path).json == gone
    for method in ("GET", "DELETE"):
        reply = served.request(method, path)
        assert (reply.status, reply.json["type"]) == (404, "InvalidRequestError")
        reply = served.request(method, f"{RESPONSES}/x")
        assert (reply.status, reply.json["type"]) == (400, "InvalidRequestError")
    assert served.request("PUT", path).status == 405


def test_what_was_not_to_be_stored_or_was_streamed_is_not(simulator):
    served = simulator()
    unstored = served.post(RESPONSES, response(max_output_tokens=1, store=False)).json
    last = streamed(served, max_output_tokens=1)[-1]["response"]
    for reply in (unstored, last):
        assert served.get(f"{RESPONSES}/{reply['id']}").status == 404


def test_the_reply_that_was_not_used_for_longest_is_forgotten(simulator):
    served = simulator(seed=21)
    body = response(max_output_tokens=1)
    first, second = (served.post(RESPONSES, body).json["id"] for _ in range(2))
    for _ in range(CAPACITY - 2):
        served.post(RESPONSES, body)
    assert served.get(f"{RESPONSES}/{first}").status == 200
    served.post(RESPONSES, body)
    assert served.get(f"{RESPONSES}/{first}").status == 200
    assert served.get(f"{RESPONSES}/{second}").status == 404


def test_a_conversation_goes_on_from_an_earlier_reply(simulator):
    served = simulator(dialect="main")
    first = served.post(RESPONSES, response("word " * 100, max_output_tokens=9)).json
    following = response("And then?", previous_response_id=first["id"], max_output_tokens=9)
    usage = served.post(RESPONSES, following).json["usage"]
    assert usage["input_tokens"] > first["usage"]["input_tokens"] + 9
    assert usage["input_tokens_details"]["cached_tokens"] >= 64


def test_1_1_goes_on_from_a_streamed_reply_too(simulator):
    served = simulator(dialect="1.1", model=GPT_OSS)
    streamed_id = streamed(served, max_output_tokens=5)[-1]["response"]["id"]
    following = response("And then?", previous_response_id=streamed_id, max_output_tokens=5)
    assert served.post(RESPONSES, following).json["previous_response_id"] == streamed_id


@pytest.mark.parametrize(("previous", "status"), [("resp_unknown", 404), ("x", 400)])
def test_an_earlier_reply_that_is_not_known_is_refused(simulator, previous, status):
    reply = simulator().post(RESPONSES, response(previous_response_id=previous))
    assert (reply.status, reply.json["type"]) == (status, "InvalidRequestError")


def test_without_a_store_nothing_is_kept_and_main_says_so(simulator):
    for dialect, status in (("1.2", 200), ("main", 400)):
        served = simulator(dialect=dialect, responses_store=False)
        whole = served.post(RESPONSES, response(max_output_tokens=1)).json
        reply = served.get(f"{RESPONSES}/{whole['id']}")
        assert (reply.status, reply.json["message"]) == (400, "Response storage is disabled")
        following = response(previous_response_id="resp_1", max_output_tokens=1)
        assert served.post(RESPONSES, following).status == status
