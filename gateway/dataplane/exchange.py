"""One request on its way: what was asked, by whom, and what has become of it."""

from dataclasses import dataclass, field

from gateway.core.admission import Waiter, priority_of
from gateway.core.answers import Naming
from gateway.core.errors import GatewayError
from gateway.core.outcome import RequestFacts
from gateway.core.patience import answered_by
from gateway.core.request import InferenceRequest
from gateway.core.resume import Progress, longer_prompt, may_go_on, remaining
from gateway.core.session import session_id
from gateway.core.snapshot import ModelView, ReplicaView
from gateway.core.splice import UNCHANGED, Edits
from gateway.dataplane.client import Client, Header
from gateway.dataplane.gate import waits_s
from gateway.telemetry.tracer import RequestTrace


@dataclass(slots=True)
class Exchange:
    """A checked request, its client, and the facts that grow as it is served."""

    request: InferenceRequest
    model: ModelView
    client: Client
    facts: RequestFacts
    naming: Naming
    trace: RequestTrace | None
    """None where nothing is traced: then no span is made at all."""
    expose_replica: bool
    suspect: bool = False
    """Replicas seem to die of it: it is kept apart from others like it."""
    progress: Progress | None = None
    """How far a stream has come that another replica may go on with; None for all others."""
    deaths: int = 0
    """Replicas that hung up on it, of this sending."""
    slots: int = field(init=False)
    """How much of a replica's room it takes, and is counted as on the board."""

    def __post_init__(self) -> None:
        """Count `slots` once: they are asked for with each step."""
        self.slots = self.request.slots if self.request.operation.generates else 1

    @property
    def session(self) -> bytes | None:
        """Which session the request belongs to; None where it names none."""
        return session_id(self.client.asked, self.request.fields)

    def waiter(self, *, picky: bool) -> Waiter:
        """Return what waits for room in its place."""
        facts, asked = self.facts, self.client.asked
        return Waiter(
            priority=priority_of(asked.get(b"x-trtgw-priority")),
            slots=self.slots,
            came_at=facts.body_read_at,
            until=min(
                facts.body_read_at + self.model.timeouts.queue_s,
                answered_by(facts.started_at, waits_s(asked)),
            ),
            picky=picky,
        )

    def may_move_on(self, failure: GatewayError) -> bool:
        """Say whether another replica may be asked now that one failed with ``failure``."""
        if not self.client.content_sent:
            return failure.retryable
        return self.progress is not None and may_go_on(self.request, self.progress, failure)

    def next_request(self) -> tuple[InferenceRequest, Edits]:
        """Return what the next replica is asked, and how that differs from what was sent."""
        progress = self.progress
        if progress is None or not self.client.content_sent:
            return self.request, UNCHANGED
        return remaining(self.request, progress), longer_prompt(self.request, progress)

    def sent(self, at: float) -> None:
        """Note that the request goes out to a replica ``at``."""
        facts = self.facts
        if facts.sent_at is None:
            facts.sent_at = at
            facts.overhead_s = at - facts.body_read_at - facts.queued_s

    def answer_headers(self, replica: ReplicaView, attempt: int) -> list[Header]:
        """Return the headers of an answer by ``replica``; the request was `sent`."""
        overhead_ms = (self.facts.overhead_s or 0) * 1000
        headers = [
            (b"x-request-id", self.facts.request_id.encode()),
            (b"x-trtgw-attempts", b"%d" % attempt),
            (b"x-trtgw-overhead-ms", b"%.3f" % overhead_ms),
        ]
        if self.expose_replica:
            headers.append((b"x-trtgw-replica", replica.id.encode()))
        return headers
