"""What a worker makes of how attempts end: whom it tells, who is left out, who gets less.

Rule: a replica is left out in the same step in which its last failure is noted; that the others
hear of it comes after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.replica import ReplicaId
from gateway.core.filters import not_ejected
from gateway.core.outcome import AttemptFacts
from gateway.core.outlier import Outlier, Sign
from gateway.core.picking import Candidate
from gateway.core.snapshot import ReplicaView
from gateway.core.standing import Standings


@dataclass(frozen=True, slots=True)
class Judge:
    """Watches the replicas of one worker."""

    standings: Standings
    on_failure: Callable[[ReplicaView], None]
    """Told of each replica that failed a request."""
    on_outlier: Callable[[Outlier], None]
    """Told of each replica that is left out from now on, or suspect."""
    clock: Callable[[], float]
    """The one that the facts of attempts are told in."""

    def ended(self, facts: AttemptFacts, sign: Sign) -> None:
        """Note how an attempt ended."""
        outlier = self.standings.note(
            ReplicaId(facts.replica),
            sign,
            facts.outcome,
            began_at=facts.started_at,
            at=facts.ended_at,
        )
        if outlier is not None:
            self.on_outlier(outlier)

    def candidates(
        self, replicas: Sequence[ReplicaView], loads: Sequence[int]
    ) -> list[Candidate]:
        """Return the replicas with their loads, in the same order, as candidates."""
        if self.standings.ordinary:
            return [Candidate(r, load) for r, load in zip(replicas, loads, strict=True)]
        share, at = self.standings.share, self.clock()
        return [
            Candidate(replica, load, share(replica.id, at))
            for replica, load in zip(replicas, loads, strict=True)
        ]

    def not_left_out(self, fit: list[Candidate], panic_share: float) -> list[Candidate]:
        """Return those of ``fit`` that may get requests: all where too many are left out."""
        if self.standings.ordinary:
            return fit
        return not_ejected(fit, self.standings.left_out(self.clock()), panic_share)
