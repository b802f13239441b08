"""What is refused, and in which words; what is cut short in silence."""

import pytest

from tests.wire.bodies import CHAT, COMPLETIONS, chat, completion


def test_a_prompt_without_room_for_an_answer_is_a_400_or_a_broken_stream(simulator):
    served = simulator(max_seq_len=100)
    body = completion(prompt=[1] * 101, max_tokens=None)
    reply = served.post(COMPLETIONS, body)
    assert reply.status == 400
    assert reply.json["message"] == (
        "`default_max_tokens` (-1) must be greater than 0, `default_max_tokens` (-1) = "
        "max_seq_len (100) - `splited_prompt_len` (101) - `query_token_len` (0)"
    )


def test_more_tokens_than_there_is_room_for_are_clamped_in_silence(simulator):
    served = simulator(max_seq_len=100)
    body = completion(prompt=[1] * 90, max_tokens=5000, ignore_eos=True)
    choice = served.post(COMPLETIONS, body).json
    assert choice["usage"]["total_tokens"] == 100
    assert choice["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_k": -1}, "require top_k >= 0, got top_k=-1"),
        ({"top_p": 1.5}, "require 0 <= top_p <= 1, got top_p=1.5"),
        ({"temperature": -1}, "require temperature >= 0, got temperature=-1.0"),
        ({"n": 0}, "require n >= 1, got n=0"),
        ({"n": 100_000_000}, "100000000 sequences exceed max_batch_size (512)"),
        ({"prompt": []}, "Prompt must not be empty"),
        ({"prompt": ""}, "Prompt must not be empty"),
        ({"prompt": [-1]}, "Token ids must not be negative"),
        (
            {"disaggregated_params": {"request_type": "context_only"}},
            "disaggregated serving is not simulated",
        ),
        (
            {"response_format": {"type": "json_object"}},
            "Guided decoding is not enabled: set guided_decoding_backend",
        ),
    ],
)
def test_bad_parameters_are_flat_400s(simulator, fields, message):
    reply = simulator().post(COMPLETIONS, completion(**fields))
    assert (reply.status, reply.json["message"]) == (400, message)
    assert reply.json["code"] == 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 3, "best_of": 2}, "best_of should not be smaller than n"),
        ({"suffix": "x"}, "suffix is not supported"),
        ({"logprobs": -1}, "logprobs must be greater than or equal to 0"),
        (
            {"stream_options": {"include_usage": True}},
            "Stream options can only be defined when stream is true.",
        ),
    ],
)
def test_contradictions_are_schema_violations(simulator, fields, message):
    reply = simulator().post(COMPLETIONS, completion(**fields))
    assert reply.status == 400
    assert f"Value error, {message}" in reply.json["error"]


def test_whatever_goes_wrong_before_the_head_is_a_400(simulator):
    odd = {"type": "function", "function": {"name": "f", "parameters": {"properties": 1}}}
    body = chat("f", tools=[odd])
    reply = simulator().post(CHAT, body)
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")


def test_images_are_refused_by_a_text_model(simulator):
    content = [{"type": "image_url", "image_url": {"url": "x"}}]
    reply = simulator().post(
        CHAT, {"model": "m", "messages": [{"role": "user", "content": content}]}
    )
    assert (reply.status, reply.json["message"]) == (400, "Unknown part type: image_url")


def test_bodies_of_another_type_are_not_read_as_json(simulator):
    reply = simulator(dialect="1.0").post(
        COMPLETIONS, b'{"model":"m"}', **{"content-type": "text/plain"}
    )
    assert "model_attributes_type" in reply.json["message"]


def test_text_that_is_not_unicode_and_endless_nesting_are_fastapis_own_400(simulator):
    for body in (b"\xff", b"[" * 100_000):
        reply = simulator().post(COMPLETIONS, body)
        assert (reply.status, reply.json) == (
            400,
            {"detail": "There was an error parsing the body"},
        )


def test_an_empty_body_is_a_missing_field(simulator):
    reply = simulator(dialect="1.0").post(COMPLETIONS, b"")
    assert "'type': 'missing', 'loc': ('body',)" in reply.json["message"]


def test_top_logprobs_alone_is_a_contradiction(simulator):
    assert simulator().post(CHAT, chat(top_logprobs=2)).status == 400
    assert simulator(dialect="1.1").post(CHAT, chat(top_logprobs=2)).status == 400
