"""Requests that replicas die of: who is suspected, and who is refused so that no more die.

Rule: suspicion costs a request nothing but that it is alone: when a host goes down, all that
ran there lose two replicas, and all but one of them are innocent. Refused is only one that lost
three, the last of them with no other suspect beside it, while its model answered others between
their deaths: where nobody is answered it is not this request. Instants are seconds of one
monotonic clock.
"""

from dataclasses import dataclass, field

from backends.replica import ReplicaId
from gateway.core.errors import GatewayError, Quarantined, UpstreamDisconnected

SUSPECT_AFTER = 2
"""Replicas that died of a request; also the most that one sending of it may cost."""
_REFUSED_AFTER = 3
_ONE_DEATH_S = 5.0
"""What hangs up within this time is one death of a replica, on however many like requests."""
_MOST = 1024
"""Requests that are kept in mind: the oldest are forgotten first."""

Fingerprint = tuple[int, bytes]
"""Length of a body, and a digest of it and of whose it is."""


@dataclass(slots=True)
class _Case:
    model: str
    deaths: int = 0
    last_at: float = 0.0
    died_at: dict[ReplicaId, float] = field(default_factory=dict)
    answered_others: bool = False
    """Since the first of them."""
    guilty: bool = False


def is_death(failure: GatewayError) -> bool:
    """Say whether a replica seems to have died: it had the request, and hung up on it."""
    return isinstance(failure, UpstreamDisconnected)


class Suspects:
    """The requests of one worker that cost it replicas."""

    def __init__(self) -> None:
        """Suspect none."""
        self._cases: dict[Fingerprint, _Case] = {}
        self.none = True
        """No request need be looked up."""

    def sizes(self) -> set[int]:
        """Return the lengths of their bodies: others need not be digested."""
        return {length for length, _ in self._cases}

    def suspected(self, request: Fingerprint, *, at: float, for_s: float) -> bool:
        """Say whether a request is to be alone at its replica.

        Raises:
            Quarantined: it is refused, for ``for_s`` since its last replica died.
        """
        case = self._cases.get(request)
        if case is None:
            return False
        left_s = case.last_at + for_s - at
        if left_s <= 0:
            self._forget(request)
            return False
        if case.guilty:
            raise Quarantined(
                f"{case.deaths} replicas died of this very request; it is refused for"
                f" {left_s:.0f} s more"
            )
        return case.deaths >= SUSPECT_AFTER

    def died(
        self, request: Fingerprint, model: str, replica: ReplicaId, at: float, *, alone: bool
    ) -> None:
        """Note that a replica died of a request, as far as anybody can tell.

        ``alone``: it was suspected already, and so the only suspect there.
        """
        case = self._cases.pop(request, None) or _Case(model)
        self._cases[request] = case  # the newest is last
        self.none = False
        before = case.died_at.get(replica)
        if before is None or at - before > _ONE_DEATH_S:
            case.deaths += 1
        case.died_at[replica] = case.last_at = at
        if alone and case.answered_others and case.deaths >= _REFUSED_AFTER:
            case.guilty = True
        if len(self._cases) > _MOST:
            del self._cases[next(iter(self._cases))]

    def answered(self, model: str, request: Fingerprint | None) -> None:
        """Note that a request was answered: ``request`` if it may be a suspect."""
        if request in self._cases:
            self._forget(request)  # innocent
        for case in self._cases.values():
            if case.model == model:
                case.answered_others = True

    def _forget(self, request: Fingerprint) -> None:
        del self._cases[request]
        self.none = not self._cases
