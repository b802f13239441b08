import dataclasses

import pytest

from backends.simulator.iteration import EngineRequest, Speculation
from backends.simulator.profiles import Workload
from backends.simulator.stats import CreatedEvent, StoredEvent
from tests.fakes.engine import LARGE, new_engine, new_request, outputs_of, run


def test_an_engine_without_requests_has_nothing_to_run():
    idle = new_engine()
    assert idle.step(0.0) is None
    assert (idle.queued, idle.active) == (0, 0)


def test_one_request_gets_its_first_token_with_its_prompt_and_then_one_per_iteration():
    replica = new_engine()
    replica.submit(new_request(1, prompt_tokens=100, max_tokens=4), at=2.0)
    steps, ended_at = run(replica, at=5.0)
    outputs = outputs_of(steps, 1)
    assert [output.new_tokens for output in outputs] == [1, 1, 1, 1]
    assert [output.is_first for output in outputs] == [True, False, False, False]
    assert [output.is_last for output in outputs] == [False, False, False, True]
    assert [output.total_tokens for output in outputs] == [1, 2, 3, 4]
    (record,) = steps[-1].finished
    assert record.arrival_at == 2.0
    assert record.first_scheduled_at == 5.0
    assert record.first_token_at == 5.0 + steps[0].duration_s
    assert record.last_token_at == pytest.approx(ended_at)
    assert (record.first_iteration, record.last_iteration) == (0, 3)
    assert (record.prompt_tokens, record.output_tokens, record.aborted) == (100, 4, False)
    assert record.decoded_tokens_per_iteration == 1.0
    assert (record.allocated_blocks, record.new_blocks) == (4, 4)
    assert (record.reused_blocks, record.missed_blocks) == (0, 3)


def test_iterations_last_as_long_as_the_profile_says():
    replica = new_engine()
    replica.submit(new_request(1, prompt_tokens=100, max_tokens=3), at=0.0)
    prefill, first, second = run(replica)[0]
    work = Workload(tokens=100, attention_pairs=5000, kv_tokens_read=0, has_prefill=True)
    assert prefill.duration_s == LARGE.iteration_s(work)
    decoding = dataclasses.replace(work, tokens=1, attention_pairs=0.0, has_prefill=False)
    for step, length in ((first, 101), (second, 102)):
        work = dataclasses.replace(decoding, kv_tokens_read=length)
        assert step.duration_s == LARGE.iteration_s(work)


def test_a_chunk_attends_to_what_came_before_it_and_reads_it():
    replica = new_engine()
    replica.submit(new_request(1, prompt_tokens=3 * 8192 + 10, max_tokens=1), at=0.0)
    steps, _ = run(replica)
    for past, step in zip((0, 8192, 16384, 24576), steps, strict=True):
        tokens = step.stats.context_tokens
        pairs = tokens * (past + tokens / 2)
        work = Workload(
            tokens=tokens, attention_pairs=pairs, kv_tokens_read=past, has_prefill=True
        )
        assert step.duration_s == LARGE.iteration_s(work)


@pytest.mark.parametrize(
    ("prompt", "output", "blocks"), [(10, 22, 1), (10, 23, 2), (32, 32, 2)]
)
def test_a_request_takes_the_blocks_that_its_tokens_fill(prompt, output, blocks):
    replica = new_engine()
    replica.submit(new_request(1, prompt_tokens=prompt, max_tokens=output), at=0.0)
    assert run(replica)[0][-1].finished[0].new_blocks == blocks


def test_a_long_prompt_is_computed_in_chunks_that_leave_room_for_decoding():
    replica = new_engine(max_num_tokens=1000)
    replica.submit(new_request(1, max_tokens=20), at=0.0)
    replica.step(0.0)
    replica.submit(new_request(2, prompt_tokens=2500, max_tokens=2), at=0.0)
    steps, _ = run(replica)
    assert [step.stats.context_tokens for step in steps[:4]] == [999, 999, 502, 0]
    assert [len(step.outputs) for step in steps[:4]] == [1, 1, 2, 2]
    assert steps[2].outputs[1].is_first


def test_prompts_share_an_iterations_tokens_in_order_of_arrival():
    replica = new_engine(max_num_tokens=1000)
    for number, tokens in ((1, 600), (2, 600), (3, 300)):
        replica.submit(new_request(number, prompt_tokens=tokens), at=0.0)
    first = replica.step(0.0)
    assert [output.request_id for output in first.outputs] == [1]
    assert first.stats.context_requests == 2
    second = replica.step(first.duration_s)
    assert [output.request_id for output in second.outputs] == [1, 2, 3]
    assert second.stats.context_tokens == 500


def test_a_request_waits_for_a_slot_behind_those_that_came_before():
    replica = new_engine(max_batch_size=1)
    for number in (1, 2, 3):
        replica.submit(new_request(number, max_tokens=2), at=0.0)
    first = replica.step(0.0)
    assert (first.stats.active_requests, first.stats.queued_requests) == (1, 2)
    assert (replica.active, replica.queued) == (1, 2)
    steps, _ = run(replica, at=first.duration_s)
    order = [record.request_id for step in steps for record in step.finished]
    assert order == [1, 2, 3]
    waited = [step.stats.new_active_queue_s for step in steps if step.stats.new_active_requests]
    assert waited == sorted(waited)
    assert waited[0] > 0


def test_a_request_waits_until_blocks_for_its_prompt_and_all_its_output_exist():
    replica = new_engine(kv_pool_tokens=10 * 32)
    replica.submit(new_request(1, prompt_tokens=32, max_tokens=5 * 32), at=0.0)
    replica.submit(new_request(2, prompt_tokens=32, max_tokens=5 * 32), at=0.0)
    replica.submit(new_request(3, prompt_tokens=1, max_tokens=1), at=0.0)
    assert replica.step(0.0).stats.active_requests == 1
    assert replica.queued == 2  # the third would fit, but it is not its turn


def test_a_request_from_the_future_does_not_enter_yet():
    replica = new_engine()
    replica.submit(new_request(1), at=3.0)
    assert replica.step(2.0) is None
    assert replica.queued == 1
    assert replica.step(3.0) is not None


def test_a_prompt_seen_before_is_computed_but_for_what_is_cached():
    replica = new_engine()
    for number in (1, 2):
        replica.submit(EngineRequest(number, range(100), 2), at=0.0)
        steps, _ = run(replica)
    assert steps[0].stats.context_tokens == 100 - 96
    assert steps[0].outputs[0].cached_tokens == 96
    (record,) = steps[-1].finished
    assert (record.cached_tokens, record.reused_blocks, record.new_blocks) == (96, 3, 1)
    assert steps[-1].stats.kv_cache.hit_rate == 0.5


def test_block_reuse_can_be_switched_off():
    replica = new_engine(enable_block_reuse=False)
    for number in (1, 2):
        replica.submit(EngineRequest(number, range(100), 1), at=0.0)
        steps, _ = run(replica)
    assert steps[0].outputs[0].cached_tokens == 0


def test_sequences_of_one_prompt_share_its_computation_and_full_blocks():
    replica = new_engine()
    replica.submit(new_request(1, prompt_tokens=40, max_tokens=3, sequences=3), at=0.0)
    steps, _ = run(replica)
    assert steps[0].stats.context_tokens == 40
    assert [output.sequence_index for output in steps[0].outputs] == [0, 1, 2]
    assert all(output.is_first for output in steps[0].outputs)
    (record,) = steps[-1].finished
    assert (record.output_tokens, record.new_blocks) == (9, 1 + 3)


def test_a_sequence_ends_where_it_was_said_to_end_and_frees_its_slot():
    replica = new_engine(max_batch_size=3)
    replica.submit(new_request(1, max_tokens=9, sequences=2, ends_after=(1, 4)), at=0.0)
    replica.submit(new_request(2, max_tokens=2, sequences=2), at=0.0)
    steps, _ = run(replica)
    assert outputs_of(steps, 1, 0)[-1].total_tokens == 1
    assert outputs_of(steps, 1, 1)[-1].total_tokens == 4
    assert steps[1].outputs[1].request_id == 2


def test_an_end_past_max_tokens_is_cut_there():
    replica = new_engine()
    replica.submit(new_request(1, max_tokens=3, ends_after=(8,)), at=0.0)
    assert outputs_of(run(replica)[0], 1)[-1].total_tokens == 3


def test_with_a_stream_interval_the_first_token_comes_at_once_and_the_rest_in_groups():
    replica = new_engine(stream_interval=4)
    replica.submit(new_request(1, max_tokens=10), at=0.0)
    outputs = outputs_of(run(replica)[0], 1)
    assert [output.new_tokens for output in outputs] == [1, 3, 4, 2]
    assert [output.decode_iterations for output in outputs] == [1, 4, 8, 10]


def test_a_request_that_is_not_streamed_is_heard_of_once():
    replica = new_engine()
    replica.submit(new_request(1, max_tokens=7, streamed=False), at=0.0)
    (output,) = outputs_of(run(replica)[0], 1)
    assert (output.new_tokens, output.is_first, output.is_last) == (7, True, True)


def test_accepted_draft_tokens_bring_several_tokens_per_iteration():
    replica = new_engine(speculation=Speculation(draft_tokens=3, acceptance=0.6), seed=3)
    replica.submit(new_request(1, max_tokens=200), at=0.0)
    steps, _ = run(replica)
    outputs = outputs_of(steps, 1)
    sizes = {output.new_tokens for output in outputs}
    assert sizes == {1, 2, 3, 4}
    (record,) = steps[-1].finished
    assert record.output_tokens == 200
    assert record.accepted_draft_tokens == 200 - record.decode_iterations
    assert record.draft_tokens == 3 * (record.decode_iterations - 1)
    assert 1.5 < record.decoded_tokens_per_iteration < 3
    assert sum(s.stats.accepted_draft_tokens for s in steps) == record.accepted_draft_tokens
    assert steps[1].stats.draft_tokens == 3
    assert steps[1].stats.requests_with_draft_tokens == 1
    assert steps[1].stats.decoded_tokens_per_iteration == outputs[1].new_tokens


def test_drafts_that_are_never_right_give_one_token_per_iteration():
    replica = new_engine(speculation=Speculation(draft_tokens=2, acceptance=0.0))
    replica.submit(new_request(1, max_tokens=5), at=0.0)
    assert [o.new_tokens for o in outputs_of(run(replica)[0], 1)] == [1] * 5


def test_the_same_seed_gives_the_same_run_and_noise_is_small_and_centred():
    def durations(seed):
        replica = new_engine(noise=0.05, seed=seed)
        replica.submit(new_request(1, max_tokens=400), at=0.0)
        return [step.duration_s for step in run(replica)[0][1:]]

    assert durations(1) == durations(1) != durations(2)
    plain = LARGE.iteration_s(
        Workload(tokens=1, attention_pairs=0.0, kv_tokens_read=200, has_prefill=False)
    )
    mean = sum(durations(1)) / 399
    assert mean == pytest.approx(plain, rel=0.02)
    assert max(durations(1)) < 1.3 * plain


def test_events_tell_of_prompts_that_became_reusable():
    replica = new_engine(event_buffer_size=100)
    replica.submit(new_request(1, prompt_tokens=70, max_tokens=1), at=0.0)
    run(replica)
    created, stored = replica.drain_events()
    assert created == CreatedEvent(0, LARGE.kv_pool_tokens // 32)
    assert isinstance(stored, StoredEvent)
    assert [block.tokens[0] for block in stored.blocks] == [1000, 1032]
    assert replica.drain_events() == ()


def test_statistics_of_an_iteration_tell_who_computed_what():
    replica = new_engine(max_num_tokens=100)
    replica.submit(new_request(1, prompt_tokens=10, max_tokens=9), at=0.0)
    first = replica.step(0.0)
    replica.submit(new_request(2, prompt_tokens=400, max_tokens=9), at=0.0)
    stats = replica.step(first.duration_s).stats
    assert (stats.iteration, stats.started_at) == (1, first.duration_s)
    assert (stats.generation_requests, stats.context_requests) == (1, 1)
    assert (stats.scheduled_requests, stats.active_requests) == (2, 2)
    assert (stats.new_active_requests, stats.completed_requests) == (1, 0)
    assert stats.new_active_queue_s == first.duration_s
    assert (stats.context_tokens, stats.generated_tokens) == (99, 1)
    assert stats.decoded_tokens_per_iteration == 1.0
    assert stats.max_active_requests == 100
    assert stats.kv_cache.used_blocks == 1 + 13
