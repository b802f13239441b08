from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.simulator.engine import Engine
from backends.simulator.iteration import (
    EngineLimits,
    EngineRequest,
    RequestNeverFits,
    Speculation,
)
from backends.simulator.profiles import profile

limits = st.builds(
    EngineLimits,
    max_batch_size=st.integers(1, 6),
    max_num_tokens=st.integers(16, 200),
    kv_pool_tokens=st.integers(320, 1600),
    enable_block_reuse=st.booleans(),
    stream_interval=st.integers(1, 5),
    speculation=st.none() | st.builds(Speculation, st.integers(1, 3), st.floats(0, 1)),
    noise=st.just(0.05),
)


@st.composite
def requests(draw):
    sequences = draw(st.integers(1, 3))
    ends = st.tuples(*[st.integers(1, 40)] * sequences)
    return {
        "prompt": [draw(st.integers(0, 1))] * draw(st.integers(1, 200)),
        "max_tokens": draw(st.integers(1, 60)),
        "sequences": sequences,
        "ends_after": draw(st.none() | ends),
        "streamed": draw(st.booleans()),
    }


actions = st.lists(
    st.one_of(
        requests(),
        st.tuples(st.just("abort"), st.integers(0, 20)),
        st.tuples(st.just("stop"), st.integers(0, 20)),
        st.just("step"),
        st.just("step"),
    ),
    max_size=40,
)


class Run:
    """Plays actions on an engine, then lets it run dry, and keeps what it said."""

    def __init__(self, limits, seed):
        self.engine = Engine(profile("llama-3.1-8b-fp8-1xh100"), limits, seed=seed)
        self.limits = limits
        self.at = 0.0
        self.submitted = {}
        self.tokens = defaultdict(int)
        self.lasts = set()
        self.records = {}
        self.touched = set()
        self.steps = []

    def play(self, actions):
        for action in actions:
            if isinstance(action, dict):
                self.submit(action)
            elif action == "step":
                self.step()
            else:
                self.interfere(*action)
        while self.step():
            pass
        return self

    def submit(self, fields):
        request = EngineRequest(len(self.submitted), **fields)
        try:
            self.engine.submit(request, self.at)
        except RequestNeverFits:
            return
        self.submitted[request.id] = request

    def interfere(self, what, number):
        self.touched.add(number)
        if what == "abort":
            record = self.engine.abort(number)
        else:
            record = self.engine.stop_sequence(number, 0)
        if record is not None:
            self.keep(record)

    def step(self):
        step = self.engine.step(self.at)
        if step is None:
            return False
        self.steps.append(step)
        self.at += step.duration_s
        for output in step.outputs:
            key = (output.request_id, output.sequence_index)
            assert key not in self.lasts
            assert output.request_id not in self.records
            assert output.is_first == (self.tokens[key] == 0)
            self.tokens[key] += output.new_tokens
            assert output.total_tokens == self.tokens[key]
            assert output.new_tokens >= 1
            if output.is_last:
                self.lasts.add(key)
        for record in step.finished:
            self.keep(record)
        self.check_room()
        return True

    def check_room(self):
        pool, stats = self.engine.pool, self.steps[-1].stats
        assert pool.held + pool.promised <= pool.blocks
        assert pool.held + pool.cached <= pool.blocks
        assert all(r.reservation.promised >= 0 for r in self.engine._batch.requests.values())
        draft = self.limits.speculation.draft_tokens if self.limits.speculation else 0
        decoding = stats.draft_tokens // draft if draft else len(self.engine._batch.decoding)
        computed = stats.context_tokens + (1 + draft) * (decoding if draft else 0)
        assert computed <= self.engine.max_num_tokens

    def keep(self, record):
        assert record.request_id not in self.records
        self.records[record.request_id] = record


@settings(max_examples=150, deadline=None)
@given(limits=limits, actions=actions, seed=st.integers(0, 9))
def test_every_request_ends_once_with_all_its_tokens_and_gives_everything_back(
    limits, actions, seed
):
    played = Run(limits, seed).play(actions)
    assert set(played.records) == set(played.submitted)
    engine, pool = played.engine, played.engine.pool
    assert (engine.queued, engine.active, pool.held, pool.promised) == (0, 0, 0, 0)
    for number, request in played.submitted.items():
        if number in played.touched:
            continue
        ends = request.ends_after or (request.max_tokens,) * request.sequences
        for index, end in enumerate(ends):
            assert played.tokens[number, index] == min(end, request.max_tokens)
            assert (number, index) in played.lasts
        assert not played.records[number].aborted


@settings(max_examples=150, deadline=None)
@given(limits=limits, actions=actions, seed=st.integers(0, 9))
def test_facts_of_a_request_are_in_order_and_add_up(limits, actions, seed):
    for record in Run(limits, seed).play(actions).records.values():
        instants = [
            record.arrival_at,
            record.first_scheduled_at,
            record.first_token_at,
            record.last_token_at,
        ]
        known = [at for at in instants if at is not None]
        assert known == sorted(known)
        assert record.cached_tokens <= max(0, record.prompt_tokens - 1)
        assert record.cached_tokens == 32 * record.reused_blocks
        assert record.allocated_blocks == record.new_blocks + record.reused_blocks
        assert record.accepted_draft_tokens <= record.draft_tokens
        assert (record.output_tokens == 0) == (record.last_token_at is None)
        if record.first_iteration is not None:
            assert record.first_iteration <= record.last_iteration


@settings(max_examples=50, deadline=None)
@given(limits=limits, actions=actions, seed=st.integers(0, 9))
def test_the_same_calls_give_the_same_steps(limits, actions, seed):
    assert Run(limits, seed).play(actions).steps == Run(limits, seed).play(actions).steps


@settings(max_examples=50, deadline=None)
@given(limits=limits, batch=st.lists(requests(), max_size=12))
def test_requests_are_admitted_in_the_order_in_which_they_came(limits, batch):
    played = Run(limits, 0).play(batch)
    scheduled = [played.records[n].first_iteration for n in sorted(played.records)]
    assert scheduled == sorted(scheduled)
