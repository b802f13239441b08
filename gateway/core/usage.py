"""Token counts as replicas report them, and their sum over the prompts of one request.

``prompt_tokens_details`` is absent before TensorRT-LLM 1.1; key order is trtllm-serve's own.
Rule: what a replica reports is added up over days, so a count that is none is refused.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Tokens = Annotated[int, Meta(ge=0, le=2**53)]
"""Up to this, metrics can add them up exactly."""


class PromptTokensDetails(msgspec.Struct):
    """How the prompt's tokens were served."""

    cached_tokens: Tokens | None = None


class CompletionTokensDetails(msgspec.Struct):
    """How the answer's tokens were spent."""

    reasoning_tokens: Tokens | None = None


class Usage(msgspec.Struct, omit_defaults=True):
    """Tokens of one answer, or of one prompt's part of it."""

    prompt_tokens: Tokens = 0
    total_tokens: Tokens = 0
    completion_tokens: Tokens | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens that came from the replica's cache; None where it does not say."""
        details = self.prompt_tokens_details
        return None if details is None else details.cached_tokens

    @property
    def reasoning_tokens(self) -> int | None:
        """Answer tokens spent on reasoning; None where the replica does not say."""
        details = self.completion_tokens_details
        return None if details is None else details.reasoning_tokens


def add(one: Usage, other: Usage) -> Usage:
    """Return the tokens of both; a count that neither reports stays None."""
    cached = _sum(one.cached_tokens, other.cached_tokens)
    reasoning = _sum(one.reasoning_tokens, other.reasoning_tokens)
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        total_tokens=one.total_tokens + other.total_tokens,
        completion_tokens=_sum(one.completion_tokens, other.completion_tokens),
        prompt_tokens_details=None if cached is None else PromptTokensDetails(cached),
        completion_tokens_details=(
            None if reasoning is None else CompletionTokensDetails(reasoning)
        ),
    )


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other
