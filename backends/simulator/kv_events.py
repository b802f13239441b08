"""The log of what became reusable and what was evicted; readers mirror the cache from it.

Ids count up from 0, the `CreatedEvent`, so a reader tells a restart and a gap. Each event goes
to the first reader that drains it.
"""

from collections import deque
from collections.abc import Sequence

from backends.simulator.kv_block import Block
from backends.simulator.stats import (
    CreatedEvent,
    KvEvent,
    RemovedEvent,
    StoredBlock,
    StoredEvent,
)


class KvEventLog:
    """Keeps the newest events until they are drained."""

    def __init__(self, size: int, blocks: int) -> None:
        """Keep at most ``size`` events, none when it is 0; announce a pool of ``blocks``."""
        self._events: deque[KvEvent] = deque(maxlen=size)
        self._next_id = 0
        self._add(CreatedEvent(self._new_id(), blocks))

    def stored(self, blocks: Sequence[Block], salt: str) -> None:
        """Note that ``blocks``, each the parent of the next, became reusable."""
        if not blocks or not self._events.maxlen:
            return
        parent = blocks[0].parent
        is_first = parent is None or parent.parent is None
        parent_hash = None if parent is None or is_first else parent.hash
        stored = tuple(StoredBlock(block.hash, block.tokens) for block in blocks)
        self._add(StoredEvent(self._new_id(), parent_hash, stored, salt))

    def removed(self, blocks: Sequence[Block]) -> None:
        """Note that ``blocks`` were evicted."""
        if self._events.maxlen:
            self._add(RemovedEvent(self._new_id(), tuple(block.hash for block in blocks)))

    def drain(self) -> tuple[KvEvent, ...]:
        """Return the kept events, oldest first, and forget them."""
        drained = tuple(self._events)
        self._events.clear()
        return drained

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _add(self, event: KvEvent) -> None:
        self._events.append(event)
