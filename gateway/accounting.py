"""What a worker's requests leave behind: on the board, in metrics and in logs.

Rule: each step here is taken for every request, so it costs microseconds and waits for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.outcome import RequestFacts
from gateway.core.silence import Silences
from gateway.core.snapshot import FleetSnapshot, ReplicaView
from gateway.state.board import Board, Row
from gateway.telemetry.logs import Logs
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.tracer import RequestTrace


@dataclass(frozen=True, slots=True)
class Recorder:
    """A `gateway.dataplane.handler.Recorder`."""

    metrics: RequestMetrics
    logs: Logs
    silences: Silences

    def admitted(self, facts: RequestFacts) -> None:
        """See the protocol."""
        self.metrics.admitted(facts)
        self.silences.began(facts)

    def record(self, facts: RequestFacts, trace: RequestTrace | None) -> None:
        """See the protocol."""
        self.silences.ended(facts)
        if trace is None:
            self.metrics.record(facts)
            self.logs.request(facts)
        else:
            self.metrics.record(facts, trace.finish(facts))
            self.logs.request(facts, trace.trace_id)


@dataclass(frozen=True, slots=True)
class Leases:
    """A `gateway.dataplane.placing.Leases`: all rows of the board, and this worker's own."""

    board: Board
    row: Row

    def loads(self, columns: Sequence[int]) -> list[int]:
        """See the protocol."""
        return self.board.loads(columns)

    def add(self, column: int, delta: int) -> None:
        """See the protocol."""
        self.row.add(column, delta)

    def give_back(self, replica: ReplicaView, slots: int) -> None:
        """Count so many sequences of this worker less."""
        self.row.add(replica.column, -slots)


def note_silence(row: Row, silences: Silences, snapshot: FleetSnapshot, at: float) -> None:
    """Write down what replicas keep this worker's requests waiting."""
    waits = silences.look(at)
    for model in snapshot.models.values():
        for replica in (*model.replicas, *model.ejected):
            row.note(replica.column, waits.get(replica.id), silences.heard_at(replica.id))
