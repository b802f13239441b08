"""The stages of a request between its check and its answer, in the one order that is right.

Pick before lease, so that the count is of the replica that gets the request; lease before
connect, so that a burst sees itself; release last, when nothing of the attempt is left. Up to
the first content a failure moves the request to another replica, after it the stream can only
be ended with the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from backends.replica import ReplicaId
from gateway.core.errors import GatewayError, Overloaded, Source
from gateway.core.outcome import AttemptFacts, AttemptOutcome
from gateway.core.outlier import Sign, sign_of
from gateway.core.retry import RetryBudget, RetryBudgets
from gateway.core.snapshot import ReplicaView
from gateway.dataplane.attempt import Attempt
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.judging import Judge
from gateway.dataplane.placing import Placing
from gateway.dataplane.quarantine import Quarantine
from gateway.dataplane.upstream import Upstream

_NOBODY_ELSE = "no other was asked, since only this one keeps the response"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Serves checked requests; one for each worker."""

    placing: Placing
    upstream: Callable[[str, int], Upstream]
    """Connects to a host's port."""
    judge: Judge
    """Makes of each attempt what it will."""
    quarantine: Quarantine
    clock: Callable[[], float]
    _budgets: RetryBudgets = field(default_factory=RetryBudgets)

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            GatewayError: it could not be answered, or its answer broke off; the caller tells
            the client.
        """
        self.quarantine.admit(exchange)
        tried: set[ReplicaId] = set()
        budget = self._budgets.of(exchange.model.name, exchange.model.retries)
        budget.request()
        replica = await self.placing.place(exchange, tried)
        while True:
            tried.add(replica.id)
            try:
                await self._attempt(exchange, replica)
            except GatewayError as failure:
                if failure.source is Source.REPLICA:
                    self.judge.on_failure(replica)
                    budget.failed(len(tried))
                if not self._may_go_elsewhere(exchange, failure, tried, budget):
                    raise
                if exchange.request.refers_to is not None:
                    raise failure.because(_NOBODY_ELSE) from None
                try:
                    replica = await self.placing.place(exchange, tried)
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
        if not exchange.may_move_on(failure):
            return False
        if exchange.request.refers_to is not None:
            return True
        if self.quarantine.spared(exchange):
            return False
        if self.placing.others(exchange, tried) and budget.allows(len(tried)):
            return True
        exchange.facts.retries_exhausted = failure.source is Source.REPLICA
        return False

    async def _attempt(self, exchange: Exchange, replica: ReplicaView) -> None:
        facts = AttemptFacts(
            number=len(exchange.facts.attempts) + 1,
            replica=replica.id,
            host=replica.host,
            port=replica.port,
            started_at=self.clock(),
        )
        exchange.facts.attempts.append(facts)
        trace = exchange.trace.attempt(facts) if exchange.trace is not None else None
        attempt = Attempt(exchange, replica, facts, trace, self.clock)
        sign = Sign.NONE
        self.quarantine.begins(exchange, replica.id)
        try:
            await attempt.run(self.upstream(replica.host, replica.port))
            facts.outcome, sign = AttemptOutcome.OK, Sign.ANSWERED
            self.quarantine.answered(exchange)
        except GatewayError as failure:
            facts.outcome = failure.attempt_outcome
            facts.error_code = failure.code
            sign = sign_of(failure)
            self.quarantine.failed(exchange, replica.id, failure)
            raise
        finally:
            facts.ended_at = self.clock()
            self.judge.ended(facts, sign)
            if trace is not None:
                trace.finish(facts)
            self.quarantine.ends(exchange, replica.id)
            self.placing.freed(exchange, replica)
