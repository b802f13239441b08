import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.trtllm.load import EngineLoad, load_from_iterations, load_from_prometheus

ITERATION = {
    "timestamp": "07-25-2025 16:54:34.140189",
    "iter": 41,
    "numActiveRequests": 3,
    "numQueuedRequests": 2,
    "maxNumActiveRequests": 64,
    "kvCacheStats": {
        "maxNumBlocks": 1000,
        "usedNumBlocks": 250,
        "tokensPerBlock": 32,
        "cacheHitRate": 0.5,
    },
    "specDecodingStats": None,
}
GAUGES = """\
# HELP {p}num_requests_running Running
# TYPE {p}num_requests_running gauge
{p}num_requests_running{{model_name="m",pid="1"}} 0.0
{p}num_requests_running{{model_name="m",pid="2"}} 3.0
# TYPE {p}num_requests_waiting gauge
{p}num_requests_waiting{{model_name="m"}} 2.0
# TYPE {p}kv_cache_utilization gauge
{p}kv_cache_utilization 0.25
# TYPE {p}kv_cache_hit_rate gauge
{p}kv_cache_hit_rate 0.5
# TYPE {p}request_success_total counter
{p}request_success_total{{finished_reason="stop"}} 9.0
"""
OLD = """\
# HELP e2e_request_latency_seconds Latency
# TYPE e2e_request_latency_seconds histogram
e2e_request_latency_seconds_bucket{engine_type="undefined",le="+Inf",model_name="undefined"} 1.0
e2e_request_latency_seconds_count{engine_type="undefined",model_name="undefined"} 1.0
e2e_request_latency_seconds_sum{engine_type="undefined",model_name="undefined"} 0.5
"""


def test_the_newest_iteration_is_the_load():
    load = load_from_iterations([{"iter": 1}, ITERATION])
    assert load == EngineLoad(3, 2, 0.25, 0.5, 64, 32, 41)


@pytest.mark.parametrize("stats", [[], [None], ["x", 1]])
def test_no_iterations_are_no_news(stats):
    assert load_from_iterations(stats) is None


@pytest.mark.parametrize("cache", [None, [], {"maxNumBlocks": 0, "usedNumBlocks": 0}])
def test_a_cache_that_is_not_told_is_unknown(cache):
    assert load_from_iterations([{**ITERATION, "kvCacheStats": cache}]).kv_used_share is None


@pytest.mark.parametrize("prefix", ["", "trtllm_"])
def test_gauges_are_read_with_and_without_their_prefix(prefix):
    load = load_from_prometheus(GAUGES.format(p=prefix))
    assert load == EngineLoad(running=3, queued=2, kv_used_share=0.25, kv_hit_share=0.5)


def test_a_used_share_comes_from_blocks_where_it_is_not_told():
    one = "# TYPE {0}%s gauge\n{0}%s %d\n"
    text = one % ("used_blocks", "used_blocks", 5) + one % ("max_blocks", "max_blocks", 4)
    assert load_from_prometheus(text.format("trtllm_kv_cache_")).kv_used_share == 1.0


NAN = "# TYPE num_requests_running gauge\nnum_requests_running NaN\n"


@pytest.mark.parametrize("text", ["", OLD, "<html>", "# TYPE a gauge\n", NAN])
def test_a_release_without_gauges_tells_no_load(text):
    assert load_from_prometheus(text) is None


def test_what_stands_before_a_cut_counts():
    text = GAUGES.format(p="trtllm_").partition("# TYPE trtllm_kv")[0] + "trtllm_kv {{{"
    assert load_from_prometheus(text) == EngineLoad(running=3)


_keys = st.sampled_from([*ITERATION, *ITERATION["kvCacheStats"]])
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
_json = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
)


@given(_json)
def test_no_statistics_break_the_reader(stats):
    load_from_iterations(stats if isinstance(stats, list) else [stats])
