import pytest

from backends.simulator.iteration import RequestNeverFits, Speculation
from tests.fakes.engine import new_engine, new_request


def test_an_aborted_request_frees_its_slot_for_the_next_iteration():
    replica = new_engine(max_batch_size=1)
    replica.submit(new_request(1, max_tokens=50), at=0.0)
    replica.submit(new_request(2, max_tokens=1), at=0.0)
    first = replica.step(0.0)
    record = replica.abort(1)
    assert record.aborted
    assert (record.output_tokens, record.last_iteration) == (1, 0)
    assert record.last_token_at == first.duration_s
    assert replica.pool.held == 0
    assert replica.step(first.duration_s).outputs[0].request_id == 2


def test_a_request_aborted_while_it_waits_was_never_scheduled():
    replica = new_engine(max_batch_size=1)
    replica.submit(new_request(1), at=0.0)
    replica.submit(new_request(2), at=0.5)
    replica.step(1.0)
    record = replica.abort(2)
    assert record.arrival_at == 0.5
    assert record.first_scheduled_at is record.first_token_at is record.last_token_at is None
    assert record.first_iteration is record.last_iteration is None
    assert record.decoded_tokens_per_iteration == 0.0
    assert replica.queued == 0


def test_a_request_aborted_in_its_context_phase_leaves_nothing_behind():
    replica = new_engine(max_num_tokens=64, max_batch_size=1)
    replica.submit(new_request(1, prompt_tokens=200), at=0.0)
    replica.step(0.0)
    record = replica.abort(1)
    assert (record.first_scheduled_at, record.first_token_at) == (0.0, None)
    assert (replica.pool.held, replica.pool.promised, replica.active) == (0, 0, 0)
    assert replica.step(1.0) is None
    replica.submit(new_request(2), at=1.0)
    assert replica.step(1.0).stats.active_requests == 1


def test_aborting_an_unknown_request_is_no_error():
    assert new_engine().abort(7) is None


def test_a_stopped_sequence_ends_as_of_its_last_output():
    replica = new_engine(stream_interval=10)
    replica.submit(new_request(1, max_tokens=50, sequences=2), at=0.0)
    first = replica.step(0.0)
    replica.step(first.duration_s)
    assert replica.stop_sequence(1, 0) is None
    assert replica.stop_sequence(1, 0) is None
    record = replica.stop_sequence(1, 1)
    assert (record.output_tokens, record.aborted) == (2, False)
    assert (replica.active, replica.pool.held) == (0, 0)
    assert replica.stop_sequence(1, 1) is None


def test_a_sequence_that_has_no_token_yet_cannot_be_stopped():
    replica = new_engine(max_num_tokens=64)
    replica.submit(new_request(1, prompt_tokens=200), at=0.0)
    replica.step(0.0)
    assert replica.stop_sequence(1, 0) is None
    assert replica.active == 1


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (
            new_request(1, prompt_tokens=300, max_tokens=30),
            "need 11 KV blocks; the pool has 10",
        ),
        (new_request(1, sequences=5), "5 sequences need as many slots; there are 4"),
    ],
)
def test_a_request_that_could_never_run_is_refused_and_changes_nothing(refused, why):
    replica = new_engine(kv_pool_tokens=320, max_batch_size=4)
    with pytest.raises(RequestNeverFits, match=why):
        replica.submit(refused, at=0.0)
    assert replica.queued == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_tokens": 0},
        {"max_tokens": 0},
        {"sequences": 0},
        {"ends_after": (0,)},
        {"ends_after": (1, 2)},
    ],
)
def test_counts_that_make_no_sense_are_refused(fields):
    replica = new_engine()
    with pytest.raises(ValueError, match="request 1: "):
        replica.submit(new_request(1, **fields), at=0.0)


def test_an_id_in_use_is_refused_while_it_waits_and_while_it_runs():
    replica = new_engine()
    replica.submit(new_request(1), at=0.0)
    for _ in range(2):
        with pytest.raises(ValueError, match="request id 1 is in use"):
            replica.submit(new_request(1), at=0.0)
        replica.step(0.0)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_batch_size": 0},
        {"max_num_tokens": 3, "speculation": Speculation(draft_tokens=3)},
        {"kv_pool_tokens": 31},
        {"stream_interval": 0},
    ],
)
def test_limits_that_leave_no_room_for_one_sequence_are_refused(limits):
    with pytest.raises(ValueError, match="not even one sequence could run"):
        new_engine(**limits)


def test_decoding_never_takes_more_tokens_than_an_iteration_has():
    replica = new_engine(max_num_tokens=8, speculation=Speculation(draft_tokens=3))
    assert replica.slots == 2
