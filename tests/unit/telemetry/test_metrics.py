import gc
import os

import pytest

from gateway.core.operation import OPERATIONS
from gateway.core.outcome import AttemptOutcome, Outcome, RequestFacts
from gateway.telemetry.catalogue import CATALOGUE, Filler
from gateway.telemetry.metrics import RequestMetrics
from tests.fakes.facts import attempt, refused, streamed
from tests.fakes.scrape import scrape


@pytest.fixture
def metrics():
    metrics = RequestMetrics(linger_s=60.0)
    metrics.configure(["llama", "qwen"], ["r1", "r2"], at=0.0)
    return metrics


def test_every_family_of_a_worker_has_series_before_the_first_request(metrics):
    seen = scrape(metrics)
    names = {sample.name.removesuffix("_bucket") for sample in seen.samples}
    for family in CATALOGUE.values():
        if family.filler is not Filler.SUPERVISOR:
            assert family.name in names, family.name


def test_a_finished_request_counts_by_model_operation_code_and_outcome(metrics):
    metrics.record(streamed())
    metrics.record(streamed())
    metrics.record(refused())
    seen = scrape(metrics)
    ok = {
        "model": "llama",
        "operation": "chat",
        "stream": "true",
        "code": "200",
        "outcome": "ok",
    }
    assert seen.value("trtgw_requests_total", **ok) == 2
    assert seen.value("trtgw_requests_total", code="503", outcome="rejected") == 1
    assert seen.value("trtgw_rejections_total", model="llama", reason="no_replica") == 1


def test_every_operation_has_a_series_before_its_first_request(metrics):
    seen = scrape(metrics)
    for operation in OPERATIONS:
        labels = {"model": "llama", "operation": operation.name, "code": "200"}
        for stream in ("true", "false") if operation.streams else ("false",):
            assert seen.value("trtgw_requests_total", **labels, stream=stream) == 0


def test_attempts_and_retries_count_by_replica_and_by_reason(metrics):
    failed = attempt(
        replica="r2",
        outcome=AttemptOutcome.CONNECT_ERROR,
        connect_s=None,
        first_content_at=None,
    )
    metrics.record(streamed(attempts=[failed, attempt(2)], retries=["connect_error"]))
    metrics.record(refused(retries_exhausted=True, outcome=Outcome.UPSTREAM_ERROR))
    seen = scrape(metrics)
    attempts = "trtgw_upstream_attempts_total"
    assert seen.value(attempts, replica="r2", outcome="connect_error") == 1
    assert seen.value(attempts, replica="r1", outcome="ok") == 1
    retries = {"model": "llama", "reason": "connect_error"}
    assert seen.value("trtgw_upstream_retries_total", **retries) == 1
    assert seen.value("trtgw_upstream_retries_exhausted_total", model="llama") == 1


def test_upstream_ttft_starts_when_the_connection_stands(metrics):
    metrics.record(streamed(attempts=[attempt(started_at=10.0, connect_s=0.05)]))
    metrics.record(streamed(attempts=[attempt(started_at=10.0, connect_s=None)]))
    seen = scrape(metrics)
    ttft_s = seen.value("trtgw_upstream_ttft_seconds_sum", replica="r1")
    assert ttft_s == pytest.approx(0.2 + 0.25)
    assert seen.value("trtgw_upstream_connect_seconds_count", replica="r1") == 1
    assert seen.value("trtgw_upstream_connect_seconds_sum", replica="r1") == 0.05


def test_streams_that_went_on_at_another_replica_are_counted(metrics):
    metrics.record(streamed(attempts=[attempt(), attempt(2, resumed_after=3)]))
    metrics.record(streamed(attempts=[attempt(), attempt(2)]))
    seen = scrape(metrics)
    assert seen.value("trtgw_upstream_resumes_total", model="llama") == 1
    assert seen.value("trtgw_upstream_resumes_total", model="qwen") == 0


def test_overhead_is_the_time_before_the_first_try_and_that_of_the_first_hand_over(metrics):
    metrics.record(streamed(overhead_s=0.003, first_relay_s=0.0002))
    metrics.record(refused())
    seen = scrape(metrics)
    pre_s = seen.value("trtgw_overhead_seconds_sum", phase="pre")
    assert pre_s == pytest.approx(0.003)
    assert seen.value("trtgw_overhead_seconds_count", phase="pre") == 1
    assert seen.value("trtgw_overhead_seconds_sum", phase="first_chunk") == 0.0002


@pytest.mark.parametrize(
    ("facts", "result"),
    [
        (streamed(attempts=[attempt()]), "admitted"),
        (refused(), "rejected"),
        (refused(outcome=Outcome.CLIENT_DISCONNECT, rejection=None), "abandoned"),
    ],
)
def test_how_long_requests_waited_for_room_is_told_by_how_their_wait_ended(
    metrics, facts, result
):
    facts.queued_s = 0.25
    metrics.record(facts)
    metrics.record(streamed())  # it did not wait
    seen = scrape(metrics)
    labels = {"model": facts.model, "result": result}
    assert seen.value("trtgw_queue_wait_seconds_sum", **labels) == 0.25
    assert seen.value("trtgw_queue_wait_seconds_count", **labels) == 1


@pytest.mark.parametrize("ended", [1, 15, 16, 17, 40])
def test_a_scrape_shows_all_that_has_ended_however_many_that_are(metrics, ended):
    for scraped in (1, 2):
        for _ in range(ended):
            facts = streamed()
            metrics.admitted(facts)
            metrics.record(facts)
        seen = scrape(metrics)
        assert seen.total("trtgw_requests_total", model="llama") == scraped * ended
        assert seen.value("trtgw_requests_in_flight", model="llama") == 0
        assert seen.value("trtgw_stream_chunks_total", model="llama") == scraped * ended * 3


def still_held(prefix):
    """Facts of requests with such an id that somebody keeps."""
    gc.collect()
    known = [each for each in gc.get_objects() if isinstance(each, RequestFacts)]
    return [facts for facts in known if facts.request_id.startswith(prefix)]


def test_where_nobody_scrapes_few_requests_are_kept_once_they_have_ended(metrics):
    for number in range(1000):
        facts = streamed(request_id=f"ended-{number}")
        metrics.admitted(facts)
        metrics.record(facts)
    del facts
    assert len(still_held("ended-")) < 16


def test_a_long_stream_that_has_ended_is_not_kept_and_neither_is_what_waits_with_it(metrics):
    metrics.record(streamed(request_id="long-0"))
    assert len(still_held("long-")) == 1
    metrics.record(streamed(request_id="long-1", gaps_s=[0.01] * 1000))
    assert still_held("long-") == []


def test_a_request_is_in_flight_from_admission_until_it_is_recorded(metrics):
    first = streamed(started_at=12.0)
    second = streamed(started_at=15.0, arrivals=(), stream=False)
    metrics.admitted(first)
    metrics.admitted(second)
    seen = scrape(metrics, at=20.0)
    assert seen.value("trtgw_requests_in_flight", model="llama") == 2
    assert seen.value("trtgw_requests_in_flight", model="qwen") == 0
    assert seen.value("trtgw_oldest_request_age_seconds") == 8.0
    metrics.record(first)
    assert scrape(metrics, at=20.0).value("trtgw_oldest_request_age_seconds") == 5.0
    metrics.record(second)
    seen = scrape(metrics)
    assert seen.value("trtgw_requests_in_flight", model="llama") == 0
    assert seen.value("trtgw_oldest_request_age_seconds") == 0


def test_a_long_stream_moves_the_views_while_it_runs_and_counts_nothing_twice(metrics):
    facts = streamed(arrivals=(10.25, 10.5))
    metrics.admitted(facts)
    seen = scrape(metrics)
    assert seen.value("trtgw_time_to_first_token_seconds_count", model="llama") == 1
    assert seen.value("trtgw_inter_token_latency_seconds_count", model="llama") == 1
    assert seen.value("trtgw_stream_chunks_total", model="llama") == 2
    facts.gaps_s.append(0.5)
    facts.content_events, facts.last_content_at = 3, 11.0
    scrape(metrics)
    metrics.record(facts)
    seen = scrape(metrics)
    assert seen.value("trtgw_time_to_first_token_seconds_count", model="llama") == 1
    assert seen.value("trtgw_inter_token_latency_seconds_count", model="llama") == 2
    assert seen.value("trtgw_inter_token_latency_seconds_sum", model="llama") == 0.75
    assert seen.value("trtgw_stream_chunks_total", model="llama") == 3


def test_what_is_not_configured_counts_as_other_and_mints_no_series(metrics):
    before = len(scrape(metrics).samples)
    for junk in range(100):
        facts = streamed(model=f"junk-{junk}", attempts=[attempt(replica=f"gone-{junk}")])
        metrics.admitted(facts)
        metrics.queued(facts.model, 1)
        metrics.record(facts)
    seen = scrape(metrics)
    assert len(seen.samples) == before + 1  # requests_total of other
    assert seen.total("trtgw_requests_total", model="other") == 100
    assert seen.value("trtgw_requests_queued", model="other") == 100
    assert seen.value("trtgw_upstream_attempts_total", replica="other", outcome="ok") == 100


def test_series_of_what_was_removed_stay_for_a_last_scrape_and_then_go(metrics):
    facts = streamed()
    metrics.admitted(facts)
    metrics.configure(["qwen"], ["r2"], at=100.0)
    assert scrape(metrics, at=160.0).all("trtgw_upstream_attempts_total", replica="r1")
    seen = scrape(metrics, at=161.0)
    for sample in seen.samples:
        assert sample.labels.get("model") != "llama"
        assert sample.labels.get("replica") != "r1"
    metrics.record(facts)
    seen = scrape(metrics, at=162.0)
    assert seen.total("trtgw_requests_total", model="other") == 1
    assert seen.all("trtgw_requests_total", model="llama") == []


def test_what_comes_back_before_its_series_went_keeps_its_counts(metrics):
    metrics.record(streamed())
    metrics.configure(["qwen"], ["r2"], at=100.0)
    metrics.configure(["llama", "qwen"], ["r1", "r2"], at=120.0)
    seen = scrape(metrics, at=1000.0)
    assert seen.value("trtgw_upstream_attempts_total", replica="r1", outcome="ok") == 1


def test_waiting_loop_lag_and_drops_are_shown_as_they_are_told(metrics):
    metrics.queued("llama", 1)
    metrics.queued("llama", 1)
    metrics.queued("llama", -1)
    metrics.loop_lag(0.02)
    metrics.dropped("spans", 7)
    seen = scrape(metrics)
    assert seen.value("trtgw_requests_queued", model="llama") == 1
    assert seen.value("trtgw_event_loop_lag_seconds_sum") == 0.02
    drops = {"signal": "spans", "worker": "0"}
    assert seen.value("trtgw_telemetry_dropped_total", **drops) == 7


def test_a_dump_names_the_process_that_made_it():
    seen = scrape(RequestMetrics())
    starts = seen.all("process_start_time_seconds")
    assert {sample.labels["worker"] for sample in starts} == {"supervisor", "0"}
    assert os.getpid() > 0
