import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.outcome import Outcome
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.series import TraceMark
from tests.fakes.facts import refused, streamed
from tests.fakes.scrape import OPENMETRICS, scrape

arrivals = st.lists(st.floats(0, 5), min_size=1, max_size=20).map(
    lambda gaps: [10.25 + sum(gaps[:count]) for count in range(len(gaps) + 1)]
)


def counted(*requests, mark=None, accept=""):
    metrics = RequestMetrics()
    metrics.configure(["llama"], ["r1"], at=0.0)
    for facts in requests:
        metrics.record(facts, mark)
    return scrape(metrics, accept=accept)


def test_a_stream_adds_its_ttft_gaps_tpot_and_end_to_end_time():
    seen = counted(streamed(arrivals=(10.25, 10.5, 11.0)))
    assert seen.value("trtgw_time_to_first_token_seconds_sum", model="llama") == 0.25
    assert seen.value("trtgw_inter_token_latency_seconds_sum", model="llama") == 0.75
    assert seen.value("trtgw_inter_token_latency_seconds_count", model="llama") == 2
    tpot = seen.value("trtgw_time_per_output_token_seconds_sum", model="llama")
    assert tpot == pytest.approx(0.75 / 2)
    duration = {"model": "llama", "stream": "true", "result": "ok"}
    assert seen.value("trtgw_request_duration_seconds_sum", **duration) == 1.0
    assert seen.value("trtgw_stream_chunks_total", model="llama") == 3


def test_tokens_count_once_each_and_sizes_and_throughput_only_for_successes():
    tokens = {
        "input_tokens": 50,
        "output_tokens": 8,
        "cached_tokens": 32,
        "reasoning_tokens": 5,
    }
    broken = {"outcome": Outcome.STREAM_BROKEN, **tokens}
    seen = counted(streamed(**tokens), streamed(**broken))
    assert seen.value("trtgw_input_tokens_total", model="llama") == 100
    assert seen.value("trtgw_output_tokens_total", model="llama") == 16
    assert seen.value("trtgw_cached_input_tokens_total", model="llama") == 64
    assert seen.value("trtgw_reasoning_output_tokens_total", model="llama") == 10
    assert seen.value("trtgw_request_input_tokens_sum", model="llama") == 50
    assert seen.value("trtgw_request_output_tokens_sum", model="llama") == 8
    throughput = "trtgw_user_throughput_tokens_per_second"
    assert seen.value(f"{throughput}_count", model="llama") == 1
    assert seen.value(f"{throughput}_sum", model="llama") == 8


def test_a_stream_without_a_token_count_adds_to_neither_average():
    seen = counted(streamed(output_tokens=None))
    assert seen.value("trtgw_time_per_output_token_seconds_count", model="llama") == 0
    assert seen.value("trtgw_generation_seconds_total", model="llama") == 0
    assert seen.value("trtgw_generation_output_tokens_total", model="llama") == 0
    assert seen.value("trtgw_time_to_first_token_seconds_count", model="llama") == 1


def test_a_stream_of_one_token_has_no_tpot_but_its_token_counts_in_the_average_itl():
    seen = counted(streamed(arrivals=(10.25,)))
    assert seen.value("trtgw_time_per_output_token_seconds_count", model="llama") == 0
    assert seen.value("trtgw_generation_output_tokens_total", model="llama") == 1


def test_an_answer_that_is_not_streamed_has_no_ttft_and_lasts_until_its_end():
    seen = counted(streamed(arrivals=(), stream=False, output_tokens=5))
    assert seen.value("trtgw_time_to_first_token_seconds_count", model="llama") == 0
    duration = {"model": "llama", "stream": "false", "result": "ok"}
    assert seen.value("trtgw_request_duration_seconds_sum", **duration) == 1.5
    assert seen.value("trtgw_output_tokens_total", model="llama") == 5


def test_a_success_whose_replica_reported_no_tokens_has_no_size():
    seen = counted(streamed(input_tokens=None, output_tokens=None))
    assert seen.value("trtgw_request_input_tokens_count", model="llama") == 0
    assert seen.value("trtgw_request_output_tokens_count", model="llama") == 0


def test_a_request_that_took_no_time_has_no_throughput():
    seen = counted(streamed(arrivals=(), stream=False, output_tokens=5, ended_at=10.0))
    assert seen.value("trtgw_user_throughput_tokens_per_second_count", model="llama") == 0


def test_a_refused_request_counts_as_an_error_in_the_durations_and_as_no_tokens():
    seen = counted(refused())
    errors = {"model": "llama", "stream": "false", "result": "error"}
    assert seen.value("trtgw_request_duration_seconds_count", **errors) == 1
    assert seen.value("trtgw_request_input_tokens_count", model="llama") == 0


@settings(deadline=None)
@given(streams=st.lists(arrivals, min_size=1, max_size=5), tokens_per_event=st.integers(1, 4))
def test_the_gaps_of_all_streams_sum_to_their_generation_time(streams, tokens_per_event):
    seen = counted(
        *(streamed(times, output_tokens=tokens_per_event * len(times)) for times in streams)
    )
    generation_s = sum(times[-1] - times[0] for times in streams)
    gaps_s = seen.value("trtgw_inter_token_latency_seconds_sum", model="llama")
    assert gaps_s == pytest.approx(generation_s, abs=1e-9)
    total_s = seen.value("trtgw_generation_seconds_total", model="llama")
    assert total_s == pytest.approx(generation_s, abs=1e-9)


def test_the_exported_trace_of_a_request_is_an_exemplar_of_its_ttft_and_tpot():
    mark = TraceMark("0af7651916cd43dd8448eb211c80319c", 1_700_000_000.5)
    seen = counted(streamed(), mark=mark, accept=OPENMETRICS)
    for name, value in (
        ("trtgw_time_to_first_token_seconds_bucket", 0.25),
        ("trtgw_time_per_output_token_seconds_bucket", 0.375),
    ):
        (exemplar,) = [s.exemplar for s in seen.all(name, model="llama") if s.exemplar]
        assert exemplar.labels == {"trace_id": mark.trace_id}
        assert exemplar.value == value
        assert float(exemplar.timestamp) == mark.at
