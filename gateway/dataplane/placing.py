"""Place a request: who could serve it, who of them has room, and the one that is chosen.

Rule: the choice and its count on the board are one step, with nothing awaited between, so that
a burst sees itself.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from backends.replica import ReplicaId
from gateway.core.admission import has_room
from gateway.core.dialect import needs, unsupported
from gateway.core.errors import ModelLoading, NoReplica
from gateway.core.filters import able, untried
from gateway.core.picking import Candidate, WeightedPick
from gateway.core.snapshot import ModelView, ReplicaView
from gateway.core.stored import keeper
from gateway.dataplane.admission import Admission
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.judging import Judge
from gateway.dataplane.quarantine import Quarantine

_RETRY_AFTER_S = 2.0
_ALL_LEFT_OUT = "every replica of this model is left out for a while: they failed requests"


class Leases(Protocol):
    """The in-flight board as a worker uses it."""

    def loads(self, columns: Sequence[int]) -> list[int]:
        """Return the sequences open on the replica of each column, over all workers."""
        ...

    def add(self, column: int, delta: int) -> None:
        """Count sequences of this worker."""
        ...


@dataclass(frozen=True, slots=True)
class Placing:
    """Finds places at replicas for the requests of one worker, and takes them back."""

    leases: Leases
    picker: WeightedPick
    judge: Judge
    """Says who may not be asked."""
    admission: Admission
    """Where those wait for whom none has room."""
    quarantine: Quarantine
    """Where suspects are now."""
    clock: Callable[[], float]

    async def place(self, exchange: Exchange, tried: Collection[ReplicaId]) -> ReplicaView:
        """Return the replica that the request goes to; its place there is taken.

        Raises:
            Overloaded: no replica has room in time, or there is none.
            InvalidRequest: none can do what is asked.
        """

        def choose(model: ModelView, closed: set[ReplicaId]) -> ReplicaView | None:
            return self._take(exchange, model, tried, closed)

        if not exchange.request.operation.generates:
            return self._any(exchange, tried)
        replica = self.admission.at_once(exchange.model, choose)
        if replica is not None:
            return replica
        waiter = exchange.waiter(picky=bool(tried) or _picky(exchange))
        asked_at = self.clock()
        try:
            return await self.admission.wait(exchange.model, choose, waiter)
        finally:
            exchange.facts.queued_s += self.clock() - asked_at

    def freed(self, exchange: Exchange, replica: ReplicaView) -> None:
        """Take the place back, and give it to whoever waits."""
        self.leases.add(replica.column, -exchange.slots)
        self.admission.freed(exchange.model.name)

    def others(self, exchange: Exchange, tried: Collection[ReplicaId]) -> bool:
        """Say whether there are replicas that the request was not sent to yet."""
        return bool(untried(self._candidates(exchange, exchange.model), tried))

    def _any(self, exchange: Exchange, tried: Collection[ReplicaId]) -> ReplicaView:
        """Take a place where room does not matter."""
        candidates = untried(self._candidates(exchange, exchange.model), tried)
        if not candidates:
            raise NoReplica(_ALL_LEFT_OUT, retry_after_s=_RETRY_AFTER_S)
        replica = self.picker.pick(candidates).chosen.replica
        self.leases.add(replica.column, exchange.slots)
        return replica

    def _take(
        self,
        exchange: Exchange,
        model: ModelView,
        tried: Collection[ReplicaId],
        closed: set[ReplicaId],
    ) -> ReplicaView | None:
        """Take a place at a replica with room, as `admission.Choose` says."""
        slots, candidates = exchange.slots, self._candidates(exchange, model)
        if not candidates:
            raise NoReplica(_ALL_LEFT_OUT, retry_after_s=_RETRY_AFTER_S)
        candidates = untried(candidates, tried)
        if exchange.suspect:
            candidates = untried(candidates, self.quarantine.busy)
        open_ = [
            each
            for each in candidates
            if each.replica.id not in closed
            and has_room(each.in_flight, slots, each.replica.concurrency)
        ]
        while open_:
            chosen = self.picker.pick(open_).chosen
            if self._taken(chosen.replica, slots):
                return chosen.replica
            open_.remove(chosen)
        closed.update(each.replica.id for each in candidates)
        return None

    def _taken(self, replica: ReplicaView, slots: int) -> bool:
        """Take a place, unless another worker took the last one in the same moment."""
        self.leases.add(replica.column, slots)
        limit = replica.concurrency
        if limit is None or self.leases.loads([replica.column])[0] <= max(limit, slots):
            return True
        self.leases.add(replica.column, -slots)
        return False

    def _candidates(self, exchange: Exchange, model: ModelView) -> list[Candidate]:
        """Return the replicas that can serve the request, with their load.

        None where all that can are left out for their failures.
        """
        replicas = _replicas(exchange, model)
        loads = self.leases.loads([replica.column for replica in replicas])
        candidates = self.judge.candidates(replicas, loads)
        oldest, field = needs(exchange.request)
        fit = able(candidates, oldest)
        if not fit:
            dialects = [replica.dialect for replica in replicas]
            raise unsupported(exchange.request, field, dialects)
        return self.judge.not_left_out(fit, model.ejection.panic_share)


def _picky(exchange: Exchange) -> bool:
    """Say whether some replicas of its model cannot serve the request at all."""
    oldest, _ = needs(exchange.request)
    return oldest > 0 or exchange.request.refers_to is not None or exchange.suspect


def _replicas(exchange: Exchange, model: ModelView) -> Sequence[ReplicaView]:
    stored = exchange.request.refers_to
    if stored is not None:
        return (keeper(exchange.request, stored, model),)
    if model.replicas or model.ejected:
        return (*model.replicas, *model.ejected) if model.ejected else model.replicas
    if model.loading:
        raise ModelLoading(
            f'model "{model.name}" is still loading; try again soon',
            retry_after_s=_RETRY_AFTER_S,
        )
    raise NoReplica(
        f'no replica of model "{model.name}" is ready', retry_after_s=_RETRY_AFTER_S
    )
