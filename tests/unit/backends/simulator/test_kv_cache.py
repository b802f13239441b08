import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backends.simulator.kv_cache import (
    TOKENS_PER_BLOCK,
    BlockPool,
    blocks_for,
    reusable_blocks,
)
from backends.simulator.stats import RemovedEvent, StoredEvent


def prompt_of(blocks, *, first=0, extra=1):
    """A prompt of ``blocks`` full blocks, each of its own number, and ``extra`` tokens."""
    tokens = [first + i for i in range(blocks) for _ in range(TOKENS_PER_BLOCK)]
    return tokens + [999] * extra


def run_context(pool, prompt, *, output_blocks=0, salt=""):
    reservation = pool.reserve(blocks_for(len(prompt)) + output_blocks)
    assert reservation is not None
    cached = pool.start(reservation, prompt, salt)
    pool.publish(reservation, prompt, salt)
    return reservation, cached


def test_a_prompt_seen_before_comes_from_the_cache_but_for_its_last_token():
    pool = BlockPool(16)
    first, cached = run_context(pool, prompt_of(3))
    assert cached == 0
    pool.release(first)
    second, cached = run_context(pool, prompt_of(3))
    assert cached == 3 * TOKENS_PER_BLOCK
    assert (second.reused, second.new, second.missed) == (3, 1, 0)


@pytest.mark.parametrize(("tokens", "blocks"), [(1, 0), (32, 0), (33, 1), (64, 1), (65, 2)])
def test_the_last_token_is_never_part_of_a_reusable_block(tokens, blocks):
    assert reusable_blocks(tokens) == blocks


def test_blocks_are_reusable_only_when_the_context_phase_has_ended():
    pool = BlockPool(16)
    first = pool.reserve(4)
    pool.start(first, prompt_of(3), "")
    _, cached = run_context(pool, prompt_of(3))
    assert cached == 0


def test_two_requests_that_compute_the_same_prompt_keep_one_copy():
    pool = BlockPool(16)
    first, second = pool.reserve(4), pool.reserve(4)
    for reservation in (first, second):
        pool.start(reservation, prompt_of(3), "")
    assert pool.held == 8
    for reservation in (first, second):
        pool.publish(reservation, prompt_of(3), "")
    assert pool.held == 5
    pool.release(first)
    pool.release(second)
    assert (pool.held, pool.cached) == (0, 3)


def test_a_shared_beginning_is_reused_and_the_rest_is_not():
    pool = BlockPool(32)
    run_context(pool, prompt_of(2) + prompt_of(2, first=50))
    reservation, cached = run_context(pool, prompt_of(2)[:-1] + prompt_of(2, first=70))
    assert cached == 2 * TOKENS_PER_BLOCK
    assert (reservation.reused, reservation.missed) == (2, 2)


def test_prompts_of_different_salts_share_nothing():
    pool = BlockPool(16)
    run_context(pool, prompt_of(2), salt="a")
    assert run_context(pool, prompt_of(2), salt="b")[1] == 0
    assert run_context(pool, prompt_of(2), salt="a")[1] == 2 * TOKENS_PER_BLOCK


def test_without_reuse_nothing_is_kept():
    pool = BlockPool(16, reuse=False)
    first, _ = run_context(pool, prompt_of(3))
    pool.release(first)
    assert (pool.held, pool.cached) == (0, 0)
    second, cached = run_context(pool, prompt_of(3))
    assert (cached, second.missed) == (0, 0)


def test_what_was_let_go_the_longest_ago_is_evicted_first_leaves_before_parents():
    pool = BlockPool(6)
    for first in (10, 20):
        pool.release(run_context(pool, prompt_of(2, first=first))[0])
    assert pool.cached == 4
    pool.release(run_context(pool, prompt_of(2, first=10))[0])  # 20 is now the oldest
    reservation = pool.reserve(3)
    pool.take(reservation, 3)  # 2 blocks are empty: one is evicted, the leaf of 20
    pool.release(reservation)
    assert run_context(pool, prompt_of(2, first=10))[1] == 2 * TOKENS_PER_BLOCK
    assert run_context(pool, prompt_of(2, first=20))[1] == TOKENS_PER_BLOCK


def test_a_promise_is_refused_when_held_and_promised_blocks_leave_no_room():
    pool = BlockPool(5)
    assert pool.reserve(3) is not None
    assert pool.reserve(3) is None
    assert pool.reserve(2) is not None


def test_cached_blocks_make_room_for_a_promise():
    pool = BlockPool(4)
    pool.release(run_context(pool, prompt_of(3))[0])
    assert pool.cached == 3
    reservation = pool.reserve(4)
    pool.take(reservation, 4)
    assert (pool.held, pool.cached) == (4, 0)


def test_the_books_of_a_salt_close_when_its_last_block_is_evicted():
    pool = BlockPool(2)
    pool.release(run_context(pool, prompt_of(1), salt="a")[0])
    reservation = pool.reserve(2)
    pool.take(reservation, 2)
    assert pool._roots == {}


def test_a_hot_prompt_does_not_grow_the_eviction_heap_for_ever():
    pool = BlockPool(8)
    for _ in range(5000):
        pool.release(run_context(pool, prompt_of(1))[0])
    assert len(pool._leaves) < 2000


def test_statistics_count_what_was_handed_out_found_and_missed():
    pool = BlockPool(16)
    pool.release(run_context(pool, prompt_of(3))[0])
    run_context(pool, prompt_of(3))
    stats = pool.stats()
    assert (stats.max_blocks, stats.used_blocks, stats.free_blocks) == (16, 4, 12)
    assert (stats.new_blocks, stats.reused_blocks, stats.missed_blocks) == (5, 3, 3)
    assert stats.allocated_blocks == 8
    assert stats.hit_rate == 0.5
    assert BlockPool(1).stats().hit_rate == 0.0


class PoolUnderAnyUse(RuleBasedStateMachine):
    """Requests of few prompts come, compute, grow and go in any order."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(24, event_buffer_size=100_000)
        self.mirror = set()
        self.computing = []
        self.decoding = []

    @rule(
        path=st.lists(st.integers(0, 1), min_size=1, max_size=5),
        extra=st.integers(0, 31),
        output_blocks=st.integers(0, 4),
        salt=st.sampled_from(["", "s"]),
    )
    def start(self, path, extra, output_blocks, salt):
        prompt = [token for token in path for _ in range(TOKENS_PER_BLOCK)] + [9] * extra
        reservation = self.pool.reserve(blocks_for(len(prompt)) + output_blocks)
        if reservation is None:
            return
        cached = self.pool.start(reservation, prompt, salt)
        assert cached <= len(prompt) - 1
        assert cached % TOKENS_PER_BLOCK == 0
        self.computing.append((reservation, prompt, salt))

    @precondition(lambda self: self.computing)
    @rule(data=st.data())
    def end_the_context_phase(self, data):
        request = self.draw(data, self.computing)
        self.pool.publish(*request)
        self.decoding.append(request)

    @precondition(lambda self: any(r.promised for r, _, _ in self.decoding))
    @rule(data=st.data())
    def grow(self, data):
        growing = [r for r, _, _ in self.decoding if r.promised]
        self.pool.take(data.draw(st.sampled_from(growing)))

    @precondition(lambda self: self.decoding)
    @rule(data=st.data())
    def finish(self, data):
        self.pool.release(self.draw(data, self.decoding)[0])

    @precondition(lambda self: self.computing)
    @rule(data=st.data())
    def abort(self, data):
        self.pool.release(self.draw(data, self.computing)[0])

    @staticmethod
    def draw(data, requests):
        return requests.pop(data.draw(st.integers(0, len(requests) - 1)))

    def tree(self):
        stack = [c for root in self.pool._roots.values() for c in root.children.values()]
        while stack:
            block = stack.pop()
            yield block
            stack.extend(block.children.values())

    @invariant()
    def blocks_held_cached_and_promised_add_up_and_fit_the_pool(self):
        pool, live = self.pool, [r for r, _, _ in self.computing + self.decoding]
        shared = [block for block in self.tree() if block.holders]
        assert pool.held == len(shared) + sum(r.private for r in live)
        assert pool.cached == sum(1 for block in self.tree() if not block.holders)
        assert pool.promised == sum(r.promised for r in live)
        assert pool.held + pool.cached <= pool.blocks
        assert pool.held + pool.promised <= pool.blocks

    @invariant()
    def what_a_request_holds_is_never_evicted(self):
        in_tree = set(map(id, self.tree()))
        for reservation, _, _ in self.computing + self.decoding:
            for block in reservation.path:
                assert block.holders > 0
                assert id(block) in in_tree

    @invariant()
    def who_reads_the_events_knows_the_tree(self):
        for event in self.pool.events.drain():
            if isinstance(event, RemovedEvent):
                assert self.mirror >= set(event.block_hashes)
                self.mirror -= set(event.block_hashes)
            elif isinstance(event, StoredEvent):
                assert event.parent_hash is None or event.parent_hash in self.mirror
                self.mirror |= {block.block_hash for block in event.blocks}
        assert self.mirror == {block.hash for block in self.tree()}

    def teardown(self):
        for reservation, _, _ in self.computing + self.decoding:
            self.pool.release(reservation)
        assert self.pool.held == self.pool.promised == 0
        reservation = self.pool.reserve(self.pool.blocks)
        self.pool.take(reservation, self.pool.blocks)
        assert self.pool.cached == 0


TestPoolUnderAnyUse = PoolUnderAnyUse.TestCase
TestPoolUnderAnyUse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
