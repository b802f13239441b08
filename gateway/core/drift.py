"""Whether a replica's answers drift from its siblings', by golden prompts asked greedily.

Pure judgement over one round of answers. Rule: equal replicas need not answer alike to the bit
(kernels depend on the batch), so one odd token or one odd round says nothing, and where fewer
than three answered nobody can say who is right. Log probabilities are compared only as far as
the texts agree: after that they speak of different texts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_high, median_low

from backends.replica import ReplicaId

TOKENS = 16
"""Of each answer."""
LEAST_REPLICAS = 3
LEAST_AGREEMENT = 0.5
"""Share of tokens that are those of most siblings; less is drift."""
MOST_DIFFERENCE = 0.5
"""Mean absolute difference of log probabilities; more is drift."""
ROUNDS = 3
"""Drifting rounds in a row that are reported."""


@dataclass(frozen=True, slots=True)
class GoldenAnswer:
    """A replica's greedy answer to one prompt."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    """Of each token."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How far a replica is from its siblings in one round."""

    agreement: float
    """Share of tokens, 0 to 1."""
    difference: float
    """Mean absolute difference of log probabilities, where the tokens agree; 0 with none."""

    @property
    def drifts(self) -> bool:
        """Whether this is too far."""
        return self.agreement < LEAST_AGREEMENT or self.difference > MOST_DIFFERENCE


def compare(
    answers: Mapping[ReplicaId, Sequence[GoldenAnswer]],
) -> Mapping[ReplicaId, Figures]:
    """Compare the answers of equal replicas to the same prompts, in the same order.

    Empty where fewer than `LEAST_REPLICAS` answered.
    """
    if len(answers) < LEAST_REPLICAS:
        return {}
    return {
        replica: _figures(
            own, [theirs for other, theirs in answers.items() if other != replica]
        )
        for replica, own in answers.items()
    }


def outvoted(figures: Mapping[ReplicaId, Figures]) -> frozenset[ReplicaId]:
    """Return the replicas that drift; none where they are not the lesser part.

    Halves that contradict each other show that something is wrong, and not with whom.
    """
    drifting = frozenset(replica for replica, each in figures.items() if each.drifts)
    return drifting if 2 * len(drifting) < len(figures) else frozenset()


def _figures(own: Sequence[GoldenAnswer], others: Sequence[Sequence[GoldenAnswer]]) -> Figures:
    agreed, tokens, differences = 0, 0, list[float]()
    for number, answer in enumerate(own):
        siblings = [theirs[number] for theirs in others]
        agreed += _agreement(answer, siblings)
        tokens += max(len(answer.tokens), *(len(sibling.tokens) for sibling in siblings))
        differences += _differences(answer, siblings)
    return Figures(
        agreed / tokens if tokens else 1.0,
        sum(differences) / len(differences) if differences else 0.0,
    )


def _agreement(answer: GoldenAnswer, siblings: Sequence[GoldenAnswer]) -> int:
    """Count the tokens that no other token outvotes at their place."""
    agreed = 0
    for at, token in enumerate(answer.tokens):
        votes = Counter(s.tokens[at] if at < len(s.tokens) else None for s in siblings)
        agreed += votes[token] == max(votes.values())
    return agreed


def _differences(answer: GoldenAnswer, siblings: Sequence[GoldenAnswer]) -> list[float]:
    """Return, for each token, how far its log probability is from those of its siblings.

    From the middle of them: of two, which may differ, it is no further than from the nearer.
    """
    found = []
    for at, logprob in enumerate(answer.logprobs):
        prefix = answer.tokens[: at + 1]
        alike = [s.logprobs[at] for s in siblings if s.tokens[: at + 1] == prefix]
        if not alike:
            break
        found.append(max(median_low(alike) - logprob, logprob - median_high(alike), 0.0))
    return found
