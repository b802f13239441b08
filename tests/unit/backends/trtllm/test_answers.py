import pytest

from backends.trtllm.answers import (
    KvEvent,
    StoredBlock,
    read_kv_events,
    read_logprobs,
    read_timings,
)

EVENTS = [
    {"event_id": 0, "data": {"type": "created", "num_blocks_per_cache_level": [9, 0]}},
    {
        "event_id": 1,
        "data": {
            "type": "stored",
            "parent_hash": None,
            "blocks": [
                {
                    "type": "stored_block",
                    "block_hash": 42,
                    "tokens": [{"type": "unique_token", "token_id": 1, "token_extra_id": 0}],
                    "cache_level": 0,
                    "priority": 35,
                }
            ],
        },
        "window_size": 4096,
    },
    {"event_id": 2, "data": {"type": "removed", "block_hashes": [42]}, "window_size": 4096},
]


def test_events_of_the_kv_cache_are_read():
    assert read_kv_events(EVENTS) == [
        KvEvent(0, "created"),
        KvEvent(1, "stored", None, (StoredBlock(42, (1,), 0),), (), 4096),
        KvEvent(2, "removed", removed=(42,), window_size=4096),
    ]


def test_timings_are_read():
    metrics = {
        "timing_metrics": {"arrival_time": 1.1, "first_token_time": 1.3, "last_token_time": 2},
        "kv_cache_metrics": {"num_reused_blocks": 4},
    }
    [timings] = read_timings([{"request_id": 7, "perf_metrics": metrics}])
    assert (timings.request_id, timings.arrival_at, timings.last_token_at) == (7, 1.1, 2.0)
    assert (timings.reused_blocks, timings.missed_blocks) == (4, None)
    assert timings.server_arrival_at is None


@pytest.mark.parametrize(
    "body",
    [None, {}, "x", [None], [1], [{}], [{"event_id": "x"}], [{"event_id": 1, "data": None}]],
)
def test_what_is_no_event_and_no_request_is_skipped(body):
    assert read_kv_events(body) == []
    assert read_timings(body) == []


def test_a_request_without_parts_has_no_times():
    [timings] = read_timings([{"request_id": 1, "perf_metrics": {"timing_metrics": None}}])
    assert timings.first_token_at is None


def completion(**columns):
    return {"choices": [{"text": "ab", "logprobs": columns}]}


def test_log_probabilities_of_a_completion_are_read():
    body = completion(tokens=["a", "b"], token_logprobs=[-0.5, -1], top_logprobs=None)
    assert read_logprobs(body) == (("a", "b"), (-0.5, -1.0))


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        completion(),
        completion(tokens=[], token_logprobs=[]),
        completion(tokens=["a"], token_logprobs=None),
        completion(tokens=["a"], token_logprobs=[-1, -2]),
        completion(tokens=["a"], token_logprobs=[None]),
        completion(tokens=["a", "b"], token_logprobs=[-1, float("nan")]),
    ],
)
def test_what_has_no_log_probability_for_each_token_has_none(body):
    assert read_logprobs(body) is None
