"""One request on its way: what was asked, by whom, and what has become of it."""

from dataclasses import dataclass

from gateway.core.chunks import Identity
from gateway.core.outcome import RequestFacts
from gateway.core.request import InferenceRequest
from gateway.core.snapshot import ModelView, ReplicaView
from gateway.dataplane.client import Client, Header
from gateway.telemetry.tracer import RequestTrace


@dataclass(slots=True)
class Exchange:
    """A checked request, its client, and the facts that grow as it is served."""

    request: InferenceRequest
    model: ModelView
    client: Client
    facts: RequestFacts
    identity: Identity
    trace: RequestTrace | None
    """None where nothing is traced: then no span is made at all."""
    expose_replica: bool

    def answer_headers(self, replica: ReplicaView, attempt: int, at: float) -> list[Header]:
        """Return the headers of an answer by ``replica``, whose request goes out ``at``."""
        overhead_ms = (at - self.facts.body_read_at) * 1000
        headers = [
            (b"x-request-id", self.facts.request_id.encode()),
            (b"x-trtgw-attempts", b"%d" % attempt),
            (b"x-trtgw-overhead-ms", b"%.3f" % overhead_ms),
        ]
        if self.expose_replica:
            headers.append((b"x-trtgw-replica", replica.id.encode()))
        return headers
