"""The stages of a request between its check and its answer, in the one order that is right.

Pick before lease, so that the count is of the replica that gets the request; lease before
connect, so that a burst sees itself; release last, when nothing of the attempt is left. Up to
the first content a failure moves the request to another replica, after it the stream can only
be ended with the truth.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from backends.replica import ReplicaId
from gateway.core.admission import has_room
from gateway.core.dialect import needs, unsupported
from gateway.core.errors import GatewayError, ModelLoading, NoReplica, Overloaded, Source
from gateway.core.filters import able, untried
from gateway.core.outcome import AttemptFacts, AttemptOutcome
from gateway.core.outlier import Sign, sign_of
from gateway.core.picking import Candidate, WeightedPick
from gateway.core.retry import RetryBudget, RetryBudgets
from gateway.core.snapshot import ModelView, ReplicaView
from gateway.core.stored import keeper
from gateway.dataplane.admission import Admission
from gateway.dataplane.attempt import Attempt
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.judging import Judge
from gateway.dataplane.upstream import Upstream

_RETRY_AFTER_S = 2.0
_ALL_LEFT_OUT = "every replica of this model is left out for a while: they failed requests"
_NOBODY_ELSE = "no other was asked, since only this one keeps the response"


class Leases(Protocol):
    """The in-flight board as a worker uses it."""

    def loads(self, columns: Sequence[int]) -> list[int]:
        """Return the requests open on the replica of each column, over all workers."""
        ...

    def add(self, column: int, delta: int) -> None:
        """Count requests of this worker."""
        ...


class Pipeline:
    """Serves checked requests; one for each worker."""

    def __init__(
        self,
        *,
        leases: Leases,
        picker: WeightedPick,
        upstream: Callable[[str, int], Upstream],
        judge: Judge,
        clock: Callable[[], float],
        admission: Admission,
    ) -> None:
        """Count on ``leases``, choose with ``picker``, connect by ``upstream(host, port)``.

        Requests for which none has room wait with ``admission``; ``judge`` makes of each
        attempt what it will, and says who may not be asked.
        """
        self._leases = leases
        self._picker = picker
        self._upstream = upstream
        self._judge = judge
        self._clock = clock
        self._admission = admission
        self._budgets = RetryBudgets()

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            GatewayError: it could not be answered, or its answer broke off; the caller tells
            the client.
        """
        tried: set[ReplicaId] = set()
        budget = self._budgets.of(exchange.model.name, exchange.model.retries)
        budget.request()
        replica = await self._place(exchange, tried)
        while True:
            tried.add(replica.id)
            try:
                await self._attempt(exchange, replica)
            except GatewayError as failure:
                if failure.source is Source.REPLICA:
                    self._judge.on_failure(replica)
                    budget.failed(len(tried))
                if not self._may_go_elsewhere(exchange, failure, tried, budget):
                    raise
                if exchange.request.refers_to is not None:
                    raise failure.because(_NOBODY_ELSE) from None
                try:
                    replica = await self._place(exchange, tried)
                except Overloaded:  # nobody who could do better has room
                    raise failure from None
                exchange.facts.retries.append(failure.attempt_outcome)
            else:
                return

    def _may_go_elsewhere(
        self,
        exchange: Exchange,
        failure: GatewayError,
        tried: set[ReplicaId],
        budget: RetryBudget,
    ) -> bool:
        """Say whether the failure leaves the request to others, and there are any.

        Of a stored response's one replica the caller tells.
        """
        if exchange.client.content_sent or not failure.retryable:
            return False
        if exchange.request.refers_to is not None:
            return True
        others = untried(self._candidates(exchange, exchange.model), tried)
        if others and budget.allows(len(tried)):
            return True
        exchange.facts.retries_exhausted = failure.source is Source.REPLICA
        return False

    async def _place(self, exchange: Exchange, tried: Collection[ReplicaId]) -> ReplicaView:
        """Return the replica that the request goes to; its place there is taken."""

        def choose(model: ModelView) -> ReplicaView | None:
            return self._take(exchange, model, tried)

        return await self._admission.place(exchange.model, choose, exchange.waiter)

    def _take(
        self, exchange: Exchange, model: ModelView, tried: Collection[ReplicaId]
    ) -> ReplicaView | None:
        """Take a place at a replica with room; None where none has."""
        slots, candidates = exchange.request.slots, self._candidates(exchange, model)
        if not candidates:
            raise NoReplica(_ALL_LEFT_OUT, retry_after_s=_RETRY_AFTER_S)
        candidates = [
            each
            for each in untried(candidates, tried)
            if has_room(each.in_flight, slots, each.replica.concurrency)
        ]
        if not candidates:
            return None
        replica = self._picker.pick(candidates).chosen.replica
        self._leases.add(replica.column, slots)
        limit = replica.concurrency
        if limit is not None:
            (taken,) = self._leases.loads([replica.column])
            if taken > max(limit, slots):  # another worker took it in the same moment
                self._leases.add(replica.column, -slots)
                return None
        return replica

    def _candidates(self, exchange: Exchange, model: ModelView) -> list[Candidate]:
        """Return the replicas that can serve the request, with their load.

        None where all that can are left out for their failures.
        """
        replicas = _replicas(exchange, model)
        loads = self._leases.loads([replica.column for replica in replicas])
        candidates = self._judge.candidates(replicas, loads)
        oldest, field = needs(exchange.request)
        fit = able(candidates, oldest)
        if not fit:
            dialects = [replica.dialect for replica in replicas]
            raise unsupported(exchange.request, field, dialects)
        return self._judge.not_left_out(fit, model.ejection.panic_share)

    async def _attempt(self, exchange: Exchange, replica: ReplicaView) -> None:
        facts = AttemptFacts(
            number=len(exchange.facts.attempts) + 1,
            replica=replica.id,
            host=replica.host,
            port=replica.port,
            started_at=self._clock(),
        )
        exchange.facts.attempts.append(facts)
        trace = exchange.trace.attempt(facts) if exchange.trace is not None else None
        attempt = Attempt(exchange, replica, facts, trace, self._clock)
        sign = Sign.NONE
        try:
            await attempt.run(self._upstream(replica.host, replica.port))
            facts.outcome, sign = AttemptOutcome.OK, Sign.ANSWERED
        except GatewayError as failure:
            facts.outcome = failure.attempt_outcome
            facts.error_code = failure.code
            sign = sign_of(failure)
            raise
        finally:
            self._leases.add(replica.column, -exchange.request.slots)
            facts.ended_at = self._clock()
            self._judge.ended(facts, sign)
            if trace is not None:
                trace.finish(facts)
            self._admission.freed(exchange.model.name)


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
