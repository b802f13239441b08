"""What the end of an attempt says of its replica, and when that is enough to leave it out.

Rule: only failures of the replica count. Load (429) is none, nor is anything that a client did:
whoever leaves early says neither that the replica is well nor that it is not.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from backends.replica import ReplicaId
from gateway.core.errors import (
    AnswerTooLong,
    DeadlineExceeded,
    GatewayError,
    ReplicaBusy,
    Source,
    UpstreamUnresolved,
)
from gateway.core.outcome import AttemptOutcome
from gateway.core.snapshot import Ejection


class Sign(Enum):
    """What an attempt says of the replica that it was made at."""

    ANSWERED = "it answers, if only that the request is wrong"
    SOFT = "it failed, and said so"
    HARD = "it did not answer to the end"
    NONE = "nothing"


_OF_OUTCOMES: Mapping[AttemptOutcome, Sign] = {
    AttemptOutcome.OK: Sign.ANSWERED,
    AttemptOutcome.HTTP_4XX: Sign.ANSWERED,
    AttemptOutcome.HTTP_5XX: Sign.SOFT,
    AttemptOutcome.CONNECT_ERROR: Sign.HARD,
    AttemptOutcome.BROKEN: Sign.HARD,
    AttemptOutcome.TIMEOUT_FIRST_BYTE: Sign.HARD,
    AttemptOutcome.TIMEOUT_IDLE: Sign.HARD,
    AttemptOutcome.CANCELLED: Sign.NONE,
}
_OF_FAILURES: Mapping[type[GatewayError], Sign] = {
    ReplicaBusy: Sign.NONE,
    UpstreamUnresolved: Sign.NONE,
    # Of an answer that comes whole nobody can tell a long one from none.
    DeadlineExceeded: Sign.SOFT,
    # Its tokens came: it was only long.
    AnswerTooLong: Sign.NONE,
}
"""Those that say something else than their outcome does."""
_WEIGHTS: Mapping[Sign, int] = {Sign.HARD: 5, Sign.SOFT: 3}
"""Five soft failures weigh as much as three hard ones."""
_MOST_DOUBLINGS = 30


class Cause(StrEnum):
    """Which limit was reached.

    The ``reason`` label of ``trtgw_replica_ejections_total``.
    """

    CONSECUTIVE = "consecutive"
    FAILURE_SHARE = "failure_share"


@dataclass(frozen=True, slots=True)
class Outlier:
    """A replica that fails requests: to be left out for a while."""

    replica: ReplicaId
    ejections: int
    """How often it had been ejected before: who hears of it twice ejects it once."""
    cause: Cause
    why: str
    """For people."""


def sign_of(failure: GatewayError) -> Sign:
    """Return what an attempt that ended in ``failure`` says of its replica."""
    if failure.source is Source.GATEWAY:
        return Sign.NONE
    found = _OF_FAILURES.get(type(failure))
    return _OF_OUTCOMES[failure.attempt_outcome] if found is None else found


def pause_s(rules: Ejection, doublings: int) -> float:
    """Return how long a replica is left out, doubled so often since the first time."""
    return min(rules.base_s * 2.0 ** min(doublings, _MOST_DOUBLINGS), rules.max_s)


class Failures:
    """How the last attempts at one replica ended."""

    __slots__ = ("_failed", "_in_row", "_recent", "_weight", "rules")

    def __init__(self, rules: Ejection) -> None:
        """Begin with none."""
        self.rules = rules
        self._in_row = 0
        self._weight = 0
        self._recent: deque[bool] = deque(maxlen=rules.over_requests)
        self._failed = 0

    def note(self, sign: Sign, outcome: AttemptOutcome) -> tuple[Cause, str] | None:
        """Note how an attempt ended; return why the replica is an outlier if it is one."""
        if sign is Sign.NONE:
            return None
        weight = _WEIGHTS.get(sign, 0)
        self._remember(failed=weight > 0)
        if not weight:
            self._in_row = self._weight = 0
            return None
        self._in_row += 1
        self._weight += weight
        return self._judge(outcome)

    def _remember(self, *, failed: bool) -> None:
        recent = self._recent
        if len(recent) == self.rules.over_requests:
            self._failed -= recent[0]
        recent.append(failed)
        self._failed += failed

    def _judge(self, outcome: AttemptOutcome) -> tuple[Cause, str] | None:
        rules, looked = self.rules, len(self._recent)
        if self._weight >= rules.consecutive * _WEIGHTS[Sign.HARD]:
            why = f"{self._in_row} failures in a row"
            return Cause.CONSECUTIVE, f"{why}, the last: {outcome}"
        if looked == rules.over_requests and self._failed >= rules.failure_share * looked:
            why = f"{self._failed} of the last {looked} requests failed"
            return Cause.FAILURE_SHARE, f"{why}, the last: {outcome}"
        return None
