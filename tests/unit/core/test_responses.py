import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.responses import ResponseEvents, read_deleted, read_response, read_stored
from gateway.core.typed_stream import TypedStream
from tests.unit.core.typed_transcripts import (
    NAMES,
    RESPONSE,
    SEALED_ID,
    UPSTREAM_ID,
    closing,
    event,
    events,
    opened,
    opening,
    response,
    says,
)


def follow(wire):
    stream = TypedStream(ResponseEvents(NAMES))
    return stream.feed(wire, 0.0), stream


def whole(**changes):
    return read_response(json.dumps(response(**changes)).encode(), NAMES)


def test_every_event_names_the_response_and_its_model_as_the_client_knows_them():
    out, stream = follow(RESPONSE)
    responses = [e["response"] for e in events(out) if "response" in e]
    assert len(responses) == 3
    assert {(r["id"], r["model"]) for r in responses} == {(SEALED_ID, "alias")}
    assert opened(SEALED_ID) == UPSTREAM_ID
    assert b"source" not in out
    assert UPSTREAM_ID.encode() not in out
    assert stream.finish_reasons == ("completed",)


def test_all_else_in_an_event_stays_as_it_came():
    out, _ = follow(RESPONSE)
    for got, sent in zip(events(out), events(RESPONSE), strict=True):
        for each in (got, sent):
            if "response" in each:
                each["response"] |= {"id": "", "model": ""}
        assert got == sent


def test_the_response_before_goes_by_its_sealed_name_too():
    before = "resp_" + "b" * 32
    out, _ = follow(opening(previous_response_id=before) + closing(previous_response_id=before))
    for each in events(out):
        assert opened(each["response"]["previous_response_id"]) == before


CONTENT = [
    "response.output_text.delta",
    "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.refusal.delta",
    "response.some_later_kind.delta",
]


@pytest.mark.parametrize("kind", CONTENT)
def test_every_kind_of_delta_is_content(kind):
    _, stream = follow(opening() + says("x", kind))
    assert stream.meter.events == 1


@pytest.mark.parametrize(
    "empty",
    [
        says(""),
        event("response.output_text.delta", delta=None),
        event("response.output_text.delta"),
        event("response.output_text.done", text="x", delta="x"),
        event("response.output_item.added", item={"delta": "x"}),
    ],
)
def test_an_event_without_new_text_is_no_content(empty):
    out, stream = follow(opening() + empty)
    assert out == b""
    assert not stream.started


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (closing(), "completed"),
        (closing("incomplete"), "incomplete"),  # trtllm-serve, out of tokens
        (closing("incomplete", "response.incomplete"), "incomplete"),
        (
            closing(
                "incomplete",
                "response.incomplete",
                incomplete_details={"reason": "max_output_tokens"},
            ),
            "max_output_tokens",
        ),
        (closing("incomplete", incomplete_details={"reason": None}), "incomplete"),
    ],
)
def test_an_answer_that_ran_out_of_tokens_is_complete(end, reason):
    out, stream = follow(opening() + says("x") + end)
    assert stream.done
    assert stream.finish_reasons == (reason,)
    assert events(out)[-1] == events(end)[0] | {"response": events(out)[-1]["response"]}


@pytest.mark.parametrize(
    "end",
    [
        closing("failed", "response.failed", error={"message": "CUDA"}),
        closing("cancelled", "response.cancelled"),
        closing("failed"),  # trtllm-serve, as its own time limit ends an answer
        closing("cancelled"),
        closing("in_progress"),
        closing("queued"),
    ],
)
def test_an_end_that_tells_of_a_failure_is_one(end):
    _, stream = follow(opening() + says("x"))
    assert stream.feed(end, 1.0) == b""
    assert stream.failure.code == "upstream_error"
    assert not stream.done
    with pytest.raises(UpstreamError) as failed:
        follow(opening() + end)
    assert failed.value.retryable


@pytest.mark.parametrize(
    "bad",
    [
        event("response.completed"),
        event("response.completed", response=None),
        event("response.created", response=[]),
        closing(id=...),
        closing(id=7),
        closing(id="x" * 256),
        closing(status=...),
        closing(output={}),
        closing(usage={"input_tokens": "many"}),
    ],
)
def test_an_event_without_a_response_in_it_is_a_breach_of_the_protocol(bad):
    with pytest.raises(UpstreamProtocolError):
        follow(bad)


def test_a_response_may_end_without_saying_its_output_or_its_counts():
    _, stream = follow(opening() + closing(output=..., usage=None))
    assert stream.done
    assert stream.usage is None


def test_a_whole_response_goes_by_the_clients_names():
    read = whole(usage=response()["usage"], previous_response_id="resp_1")
    shown = json.loads(read.body)
    assert (shown["id"], shown["model"]) == (SEALED_ID, "alias")
    assert opened(shown["previous_response_id"]) == "resp_1"
    sent = response(previous_response_id="resp_1")
    assert shown | {"id": 1, "model": 1, "previous_response_id": 1} == sent | {
        "id": 1, "model": 1, "previous_response_id": 1
    }  # fmt: skip
    assert read.finish_reasons == ("completed",)
    assert read.usage.prompt_tokens == 9
    assert read.usage.reasoning_tokens == 1


@pytest.mark.parametrize("status", ["failed", "cancelled", "in_progress", "queued", ""])
def test_a_whole_response_that_is_not_finished_is_a_failure(status):
    with pytest.raises(UpstreamError, match="did not finish"):
        whole(status=status)


@pytest.mark.parametrize(
    "body",
    [b"null", b"<html>", b'{"detail":"None"}', b'{"status":"completed","id":"a"}', b"\xff"],
)
def test_what_is_no_response_is_a_breach_of_the_protocol(body):
    for read in (read_response, read_stored):
        with pytest.raises(UpstreamProtocolError):
            read(body, NAMES)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_stored_response_is_shown_whatever_became_of_it(status):
    shown = json.loads(read_stored(json.dumps(response(status)).encode(), NAMES))
    assert (shown["id"], shown["model"], shown["status"]) == (SEALED_ID, "alias", status)


def test_a_deletion_is_told_with_the_clients_id():
    body = {"id": UPSTREAM_ID, "object": "response", "deleted": True}
    shown = json.loads(read_deleted(json.dumps(body).encode(), NAMES))
    assert shown == body | {"id": SEALED_ID}
    for wrong in (body | {"deleted": False}, {"id": UPSTREAM_ID}, []):
        with pytest.raises(UpstreamProtocolError):
            read_deleted(json.dumps(wrong).encode(), NAMES)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_in_a_response_can_change_whose_it_is(model, text):
    out, _ = follow(opening(model=model, user=text) + closing(model=model, user=text))
    for each in events(out):
        assert each["response"]["model"] == "alias"
        assert each["response"]["user"] == text
