"""The one mapping from a request's facts to ``gen_ai.*`` span attributes.

Rule: the conventions are not stable (all of them are marked "Development"), so nothing else in
the gateway writes such a name, and the version below is changed together with the names.
Prompts and answers have names in the conventions too; they are not here on purpose.
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md
"""

from gateway.core.operation import OPERATIONS, Form
from gateway.core.outcome import AttemptFacts, RequestFacts

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"

PROVIDER = "tensorrt_llm"

_OPERATION_NAMES = {
    "chat": "chat",
    "completions": "text_completion",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
}
"""What the conventions have a name for; others go by ours."""
_WITH_CHOICES = {op.name for op in OPERATIONS if op.form is Form.CHOICES}

AttributeValue = str | bool | int | float | tuple[str, ...]


def span_name(request: RequestFacts) -> str:
    """Return what the conventions call an inference span: operation and model."""
    return f"{_operation(request)} {request.model}"


def usage_attributes(request: RequestFacts) -> dict[str, AttributeValue]:
    """Return the tokens of a finished request, as far as the replica reported them."""
    reported: dict[str, int | None] = {
        "gen_ai.usage.input_tokens": request.input_tokens,
        "gen_ai.usage.output_tokens": request.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": request.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": request.reasoning_tokens,
    }
    return {name: tokens for name, tokens in reported.items() if tokens is not None}


def inference_attributes(
    request: RequestFacts, attempt: AttemptFacts
) -> dict[str, AttributeValue]:
    """Return the attributes of the span of one attempt that has ended."""
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": _operation(request),
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": request.model,
        "gen_ai.request.stream": request.stream,
        **usage_attributes(request),
    }
    if request.operation in _WITH_CHOICES:
        attributes["gen_ai.request.choice.count"] = request.choices
    if request.finish_reasons:
        attributes["gen_ai.response.finish_reasons"] = request.finish_reasons
    if attempt.first_content_at is not None:
        waited_s = attempt.first_content_at - attempt.started_at
        attributes["gen_ai.response.time_to_first_chunk"] = waited_s
    return attributes


def _operation(request: RequestFacts) -> str:
    return _OPERATION_NAMES.get(request.operation, request.operation)
