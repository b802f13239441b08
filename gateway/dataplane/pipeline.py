"""The stages of a request between its check and its answer, in the one order that is right.

Pick before lease, so that the count is of the replica that gets the request; lease before
connect, so that a burst sees itself; release last, when nothing of the attempt is left. Up to
the first content a failure moves the request to another replica, after it the stream can only
be ended with the truth.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from backends.replica import ReplicaId
from gateway.core.dialect import needs, unsupported
from gateway.core.errors import GatewayError, ModelLoading, NoReplica, Source
from gateway.core.filters import able, untried
from gateway.core.outcome import AttemptFacts, AttemptOutcome
from gateway.core.outlier import Sign, sign_of
from gateway.core.picking import Candidate, WeightedPick
from gateway.core.retry import RetryBudget, RetryBudgets
from gateway.core.snapshot import ReplicaView
from gateway.core.stored import keeper
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
    ) -> None:
        """Count on ``leases``, choose with ``picker``, connect by ``upstream(host, port)``.

        ``judge`` makes of each attempt what it will, and says who may not be asked.
        """
        self._leases = leases
        self._picker = picker
        self._upstream = upstream
        self._judge = judge
        self._clock = clock
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
        candidates = self._candidates(exchange)
        if not candidates:
            raise NoReplica(_ALL_LEFT_OUT, retry_after_s=_RETRY_AFTER_S)
        while True:
            replica = self._picker.pick(candidates).chosen.replica
            tried.add(replica.id)
            try:
                await self._attempt(exchange, replica)
            except GatewayError as failure:
                if failure.source is Source.REPLICA:
                    self._judge.on_failure(replica)
                    budget.failed(len(tried))
                candidates = self._elsewhere(exchange, failure, tried, budget)
                if not candidates:
                    raise
                exchange.facts.retries.append(failure.attempt_outcome)
            else:
                return

    def _elsewhere(
        self,
        exchange: Exchange,
        failure: GatewayError,
        tried: set[ReplicaId],
        budget: RetryBudget,
    ) -> list[Candidate]:
        """Return the replicas that may still be tried.

        It leaves ``failure`` to be raised by its catcher: raised here, it and this frame would
        hold each other.
        """
        if exchange.client.content_sent or not failure.retryable:
            return []
        if exchange.request.refers_to is not None:
            raise failure.because(_NOBODY_ELSE) from None
        # The load is looked up anew: the first attempt may have lasted long.
        candidates = untried(self._candidates(exchange), tried)
        if not candidates or not budget.allows(len(tried)):
            exchange.facts.retries_exhausted = failure.source is Source.REPLICA
            return []
        return candidates

    def _candidates(self, exchange: Exchange) -> list[Candidate]:
        """Return the replicas that can serve the request, with their load.

        None where all that can are left out for their failures.
        """
        replicas = _replicas(exchange)
        loads = self._leases.loads([replica.column for replica in replicas])
        candidates = self._judge.candidates(replicas, loads)
        oldest, field = needs(exchange.request)
        fit = able(candidates, oldest)
        if not fit:
            dialects = [replica.dialect for replica in replicas]
            raise unsupported(exchange.request, field, dialects)
        return self._judge.not_left_out(fit, exchange.model.ejection.panic_share)

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
        self._leases.add(replica.column, 1)
        try:
            await attempt.run(self._upstream(replica.host, replica.port))
            facts.outcome, sign = AttemptOutcome.OK, Sign.ANSWERED
        except GatewayError as failure:
            facts.outcome = failure.attempt_outcome
            facts.error_code = failure.code
            sign = sign_of(failure)
            raise
        finally:
            self._leases.add(replica.column, -1)
            facts.ended_at = self._clock()
            self._judge.ended(facts, sign)
            if trace is not None:
                trace.finish(facts)


def _replicas(exchange: Exchange) -> Sequence[ReplicaView]:
    model, stored = exchange.model, exchange.request.refers_to
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
