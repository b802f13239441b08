"""The KV block pool: reusable prompt blocks, reservations, and eviction of what is unheld.

Two rules keep a running request safe: blocks promised and blocks held never exceed the pool
together, and whoever holds a block of the tree holds all blocks before it, so an unheld block
has only unheld blocks after it and can always make room.
"""

import heapq
from collections.abc import Sequence
from itertools import count

from backends.simulator.kv_block import Block
from backends.simulator.kv_events import KvEventLog
from backends.simulator.stats import KvCacheStats

TOKENS_PER_BLOCK = 32
_STALE_ENTRIES = 1024
"""Stale heap entries that are left alone, on top of one per cached block, before a clean-up."""


class Reservation:
    """The blocks that one request was promised, and those that it holds of them."""

    __slots__ = ("missed", "new", "path", "private", "promised", "reused")

    def __init__(self, promised: int) -> None:
        self.promised = promised
        """Blocks still to come."""
        self.path: list[Block] = []
        """Blocks of the tree that it holds, from the prompt's start."""
        self.private = 0
        """Blocks that it holds outside the tree."""
        self.new = 0
        self.reused = 0
        self.missed = 0


class BlockPool:
    """A fixed number of blocks, shared by all requests of one replica."""

    def __init__(self, blocks: int, *, reuse: bool = True, event_buffer_size: int = 0) -> None:
        """Without ``reuse`` no block outlives the request that computed it."""
        self.blocks = blocks
        self.reuse = reuse
        self.events = KvEventLog(event_buffer_size, blocks)
        self.held = 0
        """Blocks that requests hold, a shared one counted once."""
        self.promised = 0
        self.cached = 0
        """Blocks of the tree that nobody holds; each can be evicted."""
        self._roots: dict[str, Block] = {}
        self._leaves: list[tuple[int, Block]] = []
        """Heap of evictable leaves by `Block.released`; stale entries are skipped."""
        self._releases = count(1)
        self._new = 0
        self._reused = 0
        self._missed = 0

    def reserve(self, blocks: int) -> Reservation | None:
        """Promise ``blocks`` blocks; None when they do not all exist now."""
        if self.held + self.promised + blocks > self.blocks:
            return None
        self.promised += blocks
        return Reservation(blocks)

    def start(self, reservation: Reservation, prompt: Sequence[int], salt: str) -> int:
        """Take the blocks of ``prompt``, from the tree as far as its beginning is there.

        Returns the number of prompt tokens whose keys and values need not be computed: whole
        blocks, and never the last token, without which there would be nothing to predict from.
        """
        reusable = reusable_blocks(len(prompt)) if self.reuse else 0
        block = self._roots.get(salt)
        path = reservation.path
        while block is not None and len(path) < reusable:
            block = block.children.get(_block_tokens(prompt, len(path)))
            if block is not None:
                self._hold(block)
                path.append(block)
        reservation.promised -= len(path)
        self.promised -= len(path)
        self._count_lookup(reservation, missed=reusable - len(path))
        self.take(reservation, blocks_for(len(prompt)) - len(path))
        return len(path) * TOKENS_PER_BLOCK

    def take(self, reservation: Reservation, blocks: int = 1) -> None:
        """Turn promised blocks into held ones, evicting where no empty one is left."""
        lacking = self.held + self.cached + blocks - self.blocks
        if lacking > 0:
            self._evict(lacking)
        reservation.promised -= blocks
        reservation.private += blocks
        reservation.new += blocks
        self.promised -= blocks
        self.held += blocks
        self._new += blocks

    def publish(self, reservation: Reservation, prompt: Sequence[int], salt: str) -> None:
        """Make the prompt's full blocks reusable, now that the context phase has ended.

        Where another request was faster, its block is held instead and the double becomes
        empty.
        """
        path = reservation.path
        reusable = reusable_blocks(len(prompt)) if self.reuse else 0
        if len(path) >= reusable:
            return
        block = path[-1] if path else self._root(salt)
        fresh: list[Block] = []
        while len(path) < reusable:
            tokens = _block_tokens(prompt, len(path))
            child = block.children.get(tokens)
            if child is None:
                child = block.children[tokens] = Block(tokens, block)
                child.holders = 1
                fresh.append(child)
            else:
                self._hold(child)
                self.held -= 1
            reservation.private -= 1
            path.append(child)
            block = child
        self.events.stored(fresh, salt)

    def release(self, reservation: Reservation) -> None:
        """Give everything back; blocks of the tree stay cached until their room is needed."""
        for block in reservation.path:
            block.holders -= 1
            if not block.holders:
                self.held -= 1
                self.cached += 1
                block.released = next(self._releases)
                self._offer(block)
        self.held -= reservation.private
        self.promised -= reservation.promised
        reservation.path = []
        reservation.private = reservation.promised = 0

    def stats(self) -> KvCacheStats:
        """Return the pool's state and its counts so far."""
        return KvCacheStats(
            max_blocks=self.blocks,
            free_blocks=self.blocks - self.held,
            used_blocks=self.held,
            tokens_per_block=TOKENS_PER_BLOCK,
            allocated_blocks=self._new + self._reused,
            new_blocks=self._new,
            reused_blocks=self._reused,
            missed_blocks=self._missed,
        )

    def _root(self, salt: str) -> Block:
        root = self._roots.get(salt)
        if root is None:
            root = self._roots[salt] = Block((), None, salt)
        return root

    def _hold(self, block: Block) -> None:
        if not block.holders:
            self.cached -= 1
            self.held += 1
        block.holders += 1

    def _count_lookup(self, reservation: Reservation, *, missed: int) -> None:
        reservation.reused = len(reservation.path)
        reservation.missed = missed
        self._reused += reservation.reused
        self._missed += missed

    def _offer(self, block: Block) -> None:
        """Put ``block`` up for eviction when it is an unheld leaf."""
        if block.holders or block.children:
            return
        if len(self._leaves) > 2 * self.cached + _STALE_ENTRIES:
            self._leaves = [entry for entry in self._leaves if _is_current(entry)]
            heapq.heapify(self._leaves)
        heapq.heappush(self._leaves, (block.released, block))

    def _evict(self, blocks: int) -> None:
        """Empty the cached blocks let go the longest ago, leaves before what they follow."""
        evicted: list[Block] = []
        while len(evicted) < blocks:
            entry = heapq.heappop(self._leaves)
            if not _is_current(entry):
                continue
            block = entry[1]
            evicted.append(block)
            parent = block.parent
            assert parent is not None  # noqa: S101 - roots are never offered
            del parent.children[block.tokens]
            self.cached -= 1
            if parent.parent is not None:
                self._offer(parent)
            elif not parent.children:
                del self._roots[parent.salt]
        self.events.removed(evicted)


def blocks_for(tokens: int) -> int:
    """Return the blocks that ``tokens`` tokens fill, the last one perhaps in part."""
    return -(-tokens // TOKENS_PER_BLOCK)


def reusable_blocks(prompt_tokens: int) -> int:
    """Return how many blocks of a prompt can be shared: full ones, its last token left out."""
    return (prompt_tokens - 1) // TOKENS_PER_BLOCK


def _block_tokens(prompt: Sequence[int], index: int) -> tuple[int, ...]:
    start = index * TOKENS_PER_BLOCK
    return tuple(prompt[start : start + TOKENS_PER_BLOCK])


def _is_current(entry: tuple[int, Block]) -> bool:
    released, block = entry
    return not block.holders and block.released == released
