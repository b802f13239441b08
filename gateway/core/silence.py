"""Since when each replica has sent nothing of what is waited for, as one worker sees it.

Rule: what streams pays nothing for this. The facts of a request grow as it is served, and a
look at them, once in a while, tells whether they grew since the look before. Only content is
progress: the server in front of an engine that hangs still sends status lines and refusals.
"""

from collections.abc import Collection
from dataclasses import dataclass

from gateway.core.outcome import AttemptFacts, AttemptOutcome, RequestFacts


@dataclass(slots=True)
class Waits:
    """The requests of one worker that wait for one replica."""

    since: float
    """When the oldest of them was sent."""
    whole: bool = False
    """Some answer comes whole: nothing is seen of it before its end."""
    begun: bool = False
    """Some stream has begun: if the engine runs, its next token is due soon."""


class Silences:
    """The requests of one worker, by the replica that each waits for.

    Instants are seconds of the worker's monotonic clock.
    """

    def __init__(self) -> None:
        """Watch none."""
        self._live: dict[int, RequestFacts] = {}
        self._seen: dict[int, tuple[int, int]] = {}
        """Number of the attempt and content events, at the last look; no other requests pay."""
        self._heard: dict[str, float] = {}

    def began(self, facts: RequestFacts) -> None:
        """Watch a request until `ended` gets the same object."""
        self._live[id(facts)] = facts

    def ended(self, facts: RequestFacts) -> None:
        """Watch it no more, if it was watched; what it brought is progress."""
        if self._live.pop(id(facts), None) is None or not facts.attempts:
            return
        last = facts.attempts[-1]  # none before it was answered
        if last.outcome is AttemptOutcome.OK:
            self._hear(last.replica, last.ended_at)
        elif facts.last_content_at is not None:
            self._hear(last.replica, facts.last_content_at)

    def look(self, at: float) -> dict[str, Waits]:
        """Return what waits for each replica that has any request."""
        found: dict[str, Waits] = {}
        before, self._seen = self._seen, {}
        for key, facts in self._live.items():
            attempt = _under_way(facts)
            if attempt is None:
                continue
            replica, stream = attempt.replica, facts.stream
            waits = found.get(replica)
            if waits is None:
                waits = found[replica] = Waits(attempt.started_at)
            waits.since = min(waits.since, attempt.started_at)
            waits.whole |= not stream
            waits.begun |= stream and attempt.first_content_at is not None
            if attempt.first_content_at is not None:
                self._seen[key] = attempt.number, 1 + len(facts.gaps_s)
                if self._seen[key] != before.get(key):
                    self._hear(replica, at)
        return found

    def heard_at(self, replica: str) -> float:
        """Return when content of it was last seen to have come, 0 if it never was."""
        return self._heard.get(replica, 0.0)

    def keep_only(self, replicas: Collection[str]) -> None:
        """Forget what was heard of all other replicas."""
        for gone in self._heard.keys() - replicas:
            del self._heard[gone]

    def _hear(self, replica: str, at: float) -> None:
        self._heard[replica] = max(at, self._heard.get(replica, 0.0))


def _under_way(facts: RequestFacts) -> AttemptFacts | None:
    """Return the attempt under way; None while the request waits for room."""
    attempts = facts.attempts
    return attempts[-1] if attempts and not attempts[-1].ended_at else None
