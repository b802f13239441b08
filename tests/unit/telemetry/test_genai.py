import pytest

from gateway.telemetry.genai import inference_attributes, span_name, usage_attributes
from tests.fakes.facts import attempt, streamed


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("chat", "chat llama"),
        ("completions", "text_completion llama"),
        ("responses", "chat llama"),
        ("messages", "chat llama"),
        ("embeddings", "embeddings llama"),
        ("tokenize", "tokenize llama"),
        ("responses_get", "responses_get llama"),
    ],
)  # fmt: skip
def test_a_span_is_called_after_operation_and_model(operation, name):
    assert span_name(streamed(operation=operation)) == name


def test_an_inference_says_what_was_asked_and_what_came():
    facts = streamed(cached_tokens=32, reasoning_tokens=1, choices=2)
    assert inference_attributes(facts, attempt(started_at=10.0)) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tensorrt_llm",
        "gen_ai.request.model": "llama",
        "gen_ai.request.stream": True,
        "gen_ai.request.choice.count": 2,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 32,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
    }


def test_only_what_has_choices_counts_them():
    attributes = inference_attributes(streamed(operation="embeddings", choices=5), attempt())
    assert "gen_ai.request.choice.count" not in attributes


def test_what_is_not_known_is_left_out():
    facts = streamed(arrivals=(), input_tokens=None, finish_reasons=())
    assert usage_attributes(facts) == {}
    attributes = inference_attributes(facts, attempt(first_content_at=None))
    assert not any(name.startswith(("gen_ai.response", "gen_ai.usage")) for name in attributes)
