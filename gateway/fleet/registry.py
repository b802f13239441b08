"""The supervisor's truth about replicas, in memory; the store follows through the journal.

Every change of state is checked against `backends.replica.TRANSITIONS`, written into the
replica's history and told to the listeners, in the order in which it happened.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Unpack

from backends.replica import ReplicaId, ReplicaSpec, ReplicaState, check_transition
from gateway.fleet.errors import ReplicaLimit, UnknownReplica
from gateway.fleet.journal import Journal
from gateway.state.board import Board, BoardFull, Silence
from gateway.state.store import Desired, HistoryEntry, RecordChanges, ReplicaRecord

HISTORY = 50
"""State changes that a record keeps."""

log = logging.getLogger(__name__)


class Registry:
    """All replicas; used from one event loop, and only the journal's `save` waits."""

    def __init__(self, journal: Journal, board: Board, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._board = board
        self._clock = clock
        self._records: dict[ReplicaId, ReplicaRecord] = {}
        self._listeners: list[Callable[[], None]] = []

    def load(self, records: list[ReplicaRecord]) -> None:
        """Take up what the store kept, before anything else is called."""
        self._records = {record.id: record for record in records}

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._listeners.append(listener)

    def records(self) -> list[ReplicaRecord]:
        """Return all records, oldest first."""
        return list(self._records.values())

    def get(self, replica_id: str) -> ReplicaRecord | None:
        """Return one record, None if there is none of that id."""
        return self._records.get(ReplicaId(replica_id))

    def find(self, replica_id: str) -> ReplicaRecord:
        """Return one record.

        Raises:
            UnknownReplica: there is none of that id.
        """
        record = self.get(replica_id)
        if record is None:
            raise UnknownReplica(replica_id)
        return record

    def add(
        self,
        replica_id: ReplicaId,
        spec: ReplicaSpec,
        reason: str,
        *,
        url: str | None = None,
        request: dict[str, Any] | None = None,
    ) -> ReplicaRecord:
        """Want a new replica; it is PENDING and owns a column of the board.

        Raises:
            ReplicaLimit: the board has no column left; nothing was changed.
        """
        held = {r.column for r in self._records.values() if r.column is not None}
        try:
            column = self._board.take_column(held)
        except BoardFull as full:
            raise ReplicaLimit(f"no more replicas: {full}") from full
        at = self._clock()
        record = ReplicaRecord(
            id=replica_id,
            spec=spec,
            desired=Desired.RUN,
            state=ReplicaState.PENDING,
            created_at=at,
            request=request or {},
            url=url,
            column=column,
            reason=reason,
            history=(HistoryEntry(at, ReplicaState.PENDING, reason),),
        )
        self._put(record)
        return record

    def move(
        self,
        replica_id: ReplicaId,
        state: ReplicaState,
        reason: str,
        **changes: Unpack[RecordChanges],
    ) -> ReplicaRecord:
        """Change a replica's state, and with it other fields of its record.

        Raises:
            IllegalTransition: the state may not follow; nothing was changed.
        """
        old = self._records[replica_id]
        check_transition(old.state, state)
        history = old.history
        if state != old.state:
            history = (*history, HistoryEntry(self._clock(), state, reason))[-HISTORY:]
            log.info("replica %s: %s -> %s: %s", replica_id, old.state, state, reason)
        new = replace(old, state=state, reason=reason, history=history, **changes)
        if new != old:
            self._put(new)
        return new

    def update(self, replica_id: ReplicaId, **changes: Unpack[RecordChanges]) -> ReplicaRecord:
        """Change other fields than the state; a new ``spec`` or ``desired`` is a generation."""
        old = self._records[replica_id]
        new = replace(old, **changes)
        if (new.spec, new.desired) != (old.spec, old.desired):
            new = replace(new, generation=old.generation + 1)
        if new != old:
            self._put(new)
        return new

    def drop(self, replica_id: ReplicaId) -> None:
        """Forget a replica; its column may be given to another."""
        del self._records[replica_id]
        self._journal.replica(replica_id, None)
        self._tell()

    def leases(self, record: ReplicaRecord) -> int:
        """Return the requests that all workers have open on it."""
        return 0 if record.column is None else self._board.load(record.column)

    def silence(self, record: ReplicaRecord) -> Silence:
        """Return what all workers know of the requests that it has."""
        column = record.column
        return Silence(None, 0.0) if column is None else self._board.silence(column)

    def _put(self, record: ReplicaRecord) -> None:
        self._records[record.id] = record
        self._journal.replica(record.id, record)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
