"""Endpoint picking: filters narrow the candidates, scorers rank them, a picker chooses.

The three roles and their names follow the Kubernetes Gateway API Inference Extension. All of it
is pure: the worker, a unit test and a replay of recorded traffic run the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import msgspec

from gateway.core.snapshot import ReplicaView


class Candidate(msgspec.Struct, frozen=True):
    """A replica as the gateway sees it at one instant."""

    replica: ReplicaView
    in_flight: int
    """Sequences that all workers of this gateway have open on it."""
    share: float = 1.0
    """Of the load that any other gets, above 0: less while it comes back."""


class Decision(msgspec.Struct, frozen=True):
    """Which replica was chosen, and why."""

    chosen: Candidate
    reason: str
    """``only_choice``, ``least_load`` or ``fallback``: a label of metrics."""
    considered: int


class Scorer(Protocol):
    """Ranks candidates; stateless, so one instance serves every request."""

    def score(self, candidates: Sequence[Candidate]) -> list[float]:
        """Return one score in [0, 1] for each candidate, same order, 1 is best."""
        ...


class LeastInFlight:
    """Prefer the replica with the fewest requests open, for the share that it is to have."""

    def score(self, candidates: Sequence[Candidate]) -> list[float]:
        """Scale linearly from the busiest (0) to the least busy (1).

        What counts is the load that it would have: an idle one with a small share is busy soon.
        """
        loads = [(c.in_flight + 1) / c.share for c in candidates]
        low, high = min(loads), max(loads)
        if low == high:
            return [1.0] * len(loads)
        return [(high - load) / (high - low) for load in loads]


@dataclass(frozen=True, slots=True)
class WeightedPick:
    """Sum weighted scores and take the best; ties are broken at random."""

    scorers: Sequence[tuple[Scorer, float]]
    rng: Random

    def pick(self, candidates: Sequence[Candidate]) -> Decision:
        """Choose one of ``candidates``, which must not be empty."""
        if len(candidates) == 1:
            return Decision(candidates[0], "only_choice", 1)
        totals = [0.0] * len(candidates)
        for scorer, weight in self.scorers:
            for i, score in enumerate(scorer.score(candidates)):
                totals[i] += weight * score
        best = max(totals)
        ties = [c for c, total in zip(candidates, totals, strict=True) if total == best]
        return Decision(self.rng.choice(ties), "least_load", len(candidates))
