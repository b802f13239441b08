"""Which tokens one sequence will have, where it ends and why, and its text piece by piece.

All is decided before the first token: the generator is deterministic, so looking ahead for stop
strings gives the engine the exact end, and streamed and whole replies have the same text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice

from backends.simulator.text import EOS, Detokenizer, generate, natural_length, tokenize

THINK_END = tuple(tokenize("</think>\n\n"))
"""What separates reasoning from the answer; a reasoning parser removes it."""
_REASONING_INDEX = 1 << 20
"""Reasoning is generated as another sequence, so the answer stays what it is without it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to continue a prompt."""

    max_tokens: int
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    include_stop: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    reasoning: bool = False
    """Think before answering."""
    script: tuple[int, ...] | None = None
    """Tokens that the sequence must have instead of free text, such as a tool call."""


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """One sequence, decided beforehand."""

    prompt: Sequence[int]
    index: int
    sampling: Sampling
    ends_after: int
    finish_reason: str
    stop_reason: str | int | None = None
    visible_chars: int | None = None
    """Characters of text to show; None for all."""

    @property
    def reasoning_tokens(self) -> int:
        """Count the tokens before `THINK_END`."""
        return _reasoning_tokens(self.prompt, self.sampling, self.index)

    def tokens(self) -> Iterator[int]:
        """Yield the token ids, `ends_after` of them."""
        return islice(_endless(self.prompt, self.sampling, self.index), self.ends_after)


@dataclass(frozen=True, slots=True)
class Piece:
    """What new tokens of a sequence add to it."""

    token_ids: Sequence[int]
    text: str
    reasoning: str = ""


def plan_sequence(prompt: Sequence[int], index: int, sampling: Sampling) -> SequencePlan:
    """Decide where sequence ``index`` of ``prompt`` ends, and why."""
    natural = _natural_end(prompt, sampling, index)
    ends_after = min(sampling.max_tokens, natural)
    reason = "stop" if natural <= sampling.max_tokens else "length"
    plan = SequencePlan(prompt, index, sampling, ends_after, reason)
    if sampling.stop or sampling.stop_token_ids:
        return _stopped(plan) or plan
    return plan


def _natural_end(prompt: Sequence[int], sampling: Sampling, index: int) -> int:
    if sampling.ignore_eos:
        return sampling.max_tokens + 1
    if sampling.script is not None:
        body = len(sampling.script) + 1
    else:
        body = natural_length(prompt, sampling.seed, index)
    thinking = _reasoning_tokens(prompt, sampling, index)
    return max(body + thinking + (len(THINK_END) if thinking else 0), sampling.min_tokens)


def _reasoning_tokens(prompt: Sequence[int], sampling: Sampling, index: int) -> int:
    if not sampling.reasoning:
        return 0
    return 1 + natural_length(prompt, sampling.seed, index + _REASONING_INDEX) // 2


def _endless(prompt: Sequence[int], sampling: Sampling, index: int) -> Iterator[int]:
    tokens = generate(prompt, sampling.seed, index)
    if sampling.script is not None:
        tokens = chain(sampling.script, tokens)
    if thinking := _reasoning_tokens(prompt, sampling, index):
        thoughts = generate(prompt, sampling.seed, index + _REASONING_INDEX)
        tokens = chain(islice(thoughts, thinking), THINK_END, tokens)
    natural = _natural_end(prompt, sampling, index)
    if natural > sampling.max_tokens:
        return tokens
    return chain(islice(tokens, natural - 1), (EOS,))


def _stopped(plan: SequencePlan) -> SequencePlan | None:
    """Look for the first stop id or stop string in the answer's text."""
    sampling, decoder, text = plan.sampling, SequenceDecoder(plan), ""
    first = max(sampling.min_tokens, plan.reasoning_tokens + 1)
    for position, token in zip(count(1), plan.tokens(), strict=False):
        before = text
        text += decoder.feed(1, last=position == plan.ends_after).text
        if position < first:
            continue
        if token in sampling.stop_token_ids:
            shown = text if sampling.include_stop else before
            return replace(
                plan, ends_after=position, finish_reason="stop",
                stop_reason=token, visible_chars=len(shown),
            )  # fmt: skip
        if (found := _first_stop(text, len(before), sampling.stop)) is not None:
            at, stop = found
            return replace(
                plan, ends_after=position, finish_reason="stop", stop_reason=stop,
                visible_chars=at + (len(stop) if sampling.include_stop else 0),
            )  # fmt: skip
    return None


def _first_stop(text: str, known: int, stops: Sequence[str]) -> tuple[int, str] | None:
    """Find the first stop string that ends after the first ``known`` characters."""
    found = [
        (at, stop)
        for stop in stops
        if stop and (at := text.find(stop, max(0, known - len(stop) + 1))) >= 0
    ]
    return min(found) if found else None


class SequenceDecoder:
    """Hands out a planned sequence as the engine says how many tokens are there."""

    __slots__ = ("_answer", "_mark", "_thinking", "_thoughts", "_tokens", "plan", "shown")

    def __init__(self, plan: SequencePlan) -> None:
        self.plan = plan
        self.shown = 0
        """Characters of the answer so far."""
        self._tokens = plan.tokens()
        self._answer = Detokenizer()
        self._thoughts = Detokenizer()
        self._thinking = plan.reasoning_tokens
        self._mark = len(THINK_END) if self._thinking else 0

    def feed(self, new_tokens: int, *, last: bool) -> Piece:
        """Return what the next ``new_tokens`` tokens add; ``last`` when no more will come."""
        ids = answer = list(islice(self._tokens, new_tokens))
        reasoning = ""
        if self._mark:
            reasoning, answer = self._split(ids)
        if last and answer and answer[-1] == EOS:
            answer = answer[:-1]
        text = self._answer.feed(answer)
        if last:
            text += self._answer.finish()
        return Piece(ids, self._cut(text), reasoning)

    def _split(self, ids: list[int]) -> tuple[str, list[int]]:
        thoughts = ids[: self._thinking]
        self._thinking -= len(thoughts)
        rest = ids[len(thoughts) :]
        mark = rest[: self._mark]
        self._mark -= len(mark)
        return self._thoughts.feed(thoughts), rest[len(mark) :]

    def _cut(self, text: str) -> str:
        limit = self.plan.visible_chars
        if limit is not None:
            text = text[: limit - self.shown]
        self.shown += len(text)
        return text
