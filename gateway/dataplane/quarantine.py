"""Keep requests that replicas die of apart, and refuse those that are sure to kill more.

Rule: it costs others nothing: a body is digested only after a replica died, and then only those
as long as one that is suspected.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from backends.replica import ReplicaId
from gateway.core.errors import GatewayError
from gateway.core.poison import SUSPECT_AFTER, Fingerprint, Suspects, is_death
from gateway.dataplane.exchange import Exchange

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The suspects of one worker and the replicas that they are at."""

    clock: Callable[[], float]
    busy: set[ReplicaId] = field(default_factory=set)
    """Replicas that serve a suspect now: no other may join it."""
    _suspects: Suspects = field(default_factory=Suspects)

    def admit(self, exchange: Exchange) -> None:
        """Let a request in; one that is suspected learns it.

        Raises:
            Quarantined: replicas die of it.
        """
        if self._suspects.none:
            return
        request = self._looked_up(exchange)
        if request is not None:
            exchange.suspect = self._suspects.suspected(
                request, at=self.clock(), for_s=exchange.model.retries.quarantine_s
            )

    def begins(self, exchange: Exchange, replica: ReplicaId) -> None:
        """Note that an attempt begins at ``replica``."""
        if exchange.suspect:
            self.busy.add(replica)

    def ends(self, exchange: Exchange, replica: ReplicaId) -> None:
        """Note that the attempt ended, however it did; a suspect may be placed there now."""
        if exchange.suspect:
            self.busy.discard(replica)

    def answered(self, exchange: Exchange) -> None:
        """Note that a replica answered the request to the end."""
        if not self._suspects.none:
            self._suspects.answered(exchange.model.name, self._looked_up(exchange))

    def failed(self, exchange: Exchange, replica: ReplicaId, failure: GatewayError) -> None:
        """Note that an attempt failed."""
        if not is_death(failure) or exchange.model.retries.quarantine_s <= 0:
            return
        exchange.deaths += 1
        self._suspects.died(
            _fingerprint(exchange),
            exchange.model.name,
            replica,
            self.clock(),
            alone=exchange.suspect,
        )

    def spared(self, exchange: Exchange) -> bool:
        """Say whether the request has cost all the replicas that one sending of it may."""
        return exchange.deaths >= SUSPECT_AFTER

    def _looked_up(self, exchange: Exchange) -> Fingerprint | None:
        """Return the request's fingerprint; None where it cannot be that of a suspect."""
        if len(exchange.request.body.data) not in self._suspects.sizes():
            return None
        return _fingerprint(exchange)


def _fingerprint(exchange: Exchange) -> Fingerprint:
    request = exchange.request
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in (exchange.facts.key_id or "", request.route):
        digest.update(part.encode() + b"\0")
    digest.update(request.body.data)
    return len(request.body.data), digest.digest()
