"""The routes beside generation: health, metrics, events, responses, and what FastAPI adds."""

import time

import pytest

from tests.wire.serving import CREATED, read_until

COMPLETIONS = "/v1/completions"
BODY = {"model": "m", "prompt": "hello there", "max_tokens": 4, "ignore_eos": True}
OBSERVED = {
    "enable_iter_perf_stats": True,
    "return_perf_metrics": True,
    "perf_metrics_max_requests": 100,
    "event_buffer_max_size": 1000,
}


def test_iteration_statistics_drain(simulator):
    served = simulator(**OBSERVED)
    served.post(COMPLETIONS, BODY)
    steps = served.get("/metrics").json
    assert list(steps[0]) == [
        "timestamp", "iter", "iterLatencyMS", "newActiveRequestsQueueLatencyMS",
        "numNewActiveRequests", "numActiveRequests", "numQueuedRequests",
        "numCompletedRequests", "maxNumActiveRequests", "gpuMemUsage", "cpuMemUsage",
        "pinnedMemUsage", "maxBatchSizeStatic", "maxBatchSizeTunerRecommended",
        "maxBatchSizeRuntime", "maxNumTokensStatic", "maxNumTokensTunerRecommended",
        "maxNumTokensRuntime", "kvCacheStats", "staticBatchingStats",
        "inflightBatchingStats", "specDecodingStats",
    ]  # fmt: skip
    assert steps[-1]["numCompletedRequests"] == 1
    assert steps[-1]["kvCacheStats"]["tokensPerBlock"] == 32
    again = served.get("/metrics").json
    assert [s["iter"] for s in again] == []


def test_statistics_that_are_off_take_two_seconds_to_be_nothing(simulator):
    began = time.monotonic()
    assert simulator().get("/metrics").json == []
    assert time.monotonic() - began >= 1.9


def test_speculation_has_statistics_of_its_own(simulator):
    served = simulator(max_draft_len=3, **OBSERVED)
    served.post(COMPLETIONS, BODY | {"max_tokens": 50})
    assert any(s["specDecodingStats"] for s in served.get("/metrics").json)
    metrics = served.get("/perf_metrics").json[-1]["perf_metrics"]
    assert 0 < metrics["speculative_decoding"]["acceptance_rate"] <= 1


def test_performance_metrics_are_in_order_of_time_and_drain(simulator):
    served = simulator(**OBSERVED)
    served.get("/perf_metrics")
    served.post(COMPLETIONS, BODY | {"stream": True})
    (request,) = served.get("/perf_metrics").json
    times = list(request["perf_metrics"]["timing_metrics"].values())
    arrival, queued, scheduled, first, server_first, last = times
    assert arrival <= queued <= scheduled <= first <= server_first <= last + 1
    assert first < last
    assert request["perf_metrics"]["kv_cache_metrics"]["num_total_allocated_blocks"] == 1
    assert served.get("/perf_metrics").json == []


def test_prometheus_is_mounted_only_with_performance_metrics(simulator):
    assert simulator().get("/prometheus/metrics").status == 404
    assert simulator(**OBSERVED).get("/prometheus/metrics").status == 200


@pytest.mark.parametrize("dialect", ["1.0", "1.1", "1.2"])
def test_older_names_have_no_prefix_and_undefined_labels(simulator, dialect):
    served = simulator(dialect=dialect, **OBSERVED)
    served.post(COMPLETIONS, BODY)
    text = served.get("/prometheus/metrics").body.decode()
    labels = 'engine_type="undefined",model_name="undefined"'
    assert f"e2e_request_latency_seconds_count{{{labels}}} " in text
    assert f'time_to_first_token_seconds_bucket{{{labels},le="0.001"}} ' in text
    assert f'time_per_output_token_seconds_bucket{{{labels},le="+Inf"}} ' in text
    assert (
        'request_success_total{engine_type="undefined",finished_reason="length",'
        'model_name="undefined"} '
    ) in text
    assert "trtllm_" not in text


def test_main_has_a_prefix_real_labels_and_gauges(simulator):
    served = simulator(dialect="main", **OBSERVED)
    served.post(COMPLETIONS, BODY)
    text = served.get("/prometheus/metrics").body.decode()
    labels = 'engine_type="pytorch",model_name="m"'
    assert f"trtllm_time_to_first_token_seconds_sum{{{labels}}} " in text
    assert f"trtllm_generation_tokens_total{{{labels}}} 4.0" in text
    assert f"trtllm_kv_cache_utilization{{{labels}}} " in text
    assert "# TYPE trtllm_num_requests_waiting gauge" in text


def test_era_c_forgets_chats_that_are_not_streamed(simulator):
    def counted(dialect):
        served = simulator(dialect=dialect, seed=9, **OBSERVED)
        body = {"model": "m", "messages": [], "prompt_token_ids": [1], "max_tokens": 1}
        served.post("/v1/chat/completions", body)
        return b"request_success_total" in served.get("/prometheus/metrics").body

    assert [counted(d) for d in ("1.1", "1.2", "main")] == [True, False, True]


def test_aborted_requests_are_not_counted(simulator):
    served = simulator(seed=11, **OBSERVED)
    client = served.raw(COMPLETIONS, BODY | {"max_tokens": 5000, "stream": True})
    read_until(client, b"data:")
    client.close()
    while not served.entries()[-1]["aborted"]:
        time.sleep(0.02)
    assert served.get("/prometheus/metrics").body == b""


def test_kv_events_tell_of_stored_blocks_once(simulator):
    served = simulator(seed=12, **OBSERVED)
    served.post(COMPLETIONS, BODY | {"prompt": list(range(70))})
    created, stored = served.post("/kv_cache_events").json
    assert created["event_id"] == 0
    assert created["data"]["type"] == "created"
    assert stored["data"]["type"] == "stored"
    assert stored["data"]["parent_hash"] is None
    first, second = stored["data"]["blocks"]
    assert [t["token_id"] for t in first["tokens"]] == list(range(32))
    assert list(second) == ["type", "block_hash", "tokens", "cache_level", "priority"]
    assert served.post("/kv_cache_events").json == []


def test_salted_blocks_carry_their_salt(simulator):
    served = simulator(seed=13, **OBSERVED)
    body = {"model": "m", "messages": [], "prompt_token_ids": list(range(70)), "max_tokens": 1}
    served.post("/v1/chat/completions", body | {"cache_salt": "s"})
    (_, stored) = served.post("/kv_cache_events").json
    assert stored["data"]["blocks"][0]["cache_salt"] == "s"


def test_health_generate_takes_a_token(simulator):
    reply = simulator().get("/health_generate")
    assert (reply.status, reply.body) == (200, b"Generation health check OK")
    assert "content-type" not in reply.headers


def test_the_steady_clock_is_asked_and_moved(simulator):
    served = simulator(seed=14)
    before = served.get("/steady_clock_offset").json
    assert before["transmit_ts"] - before["receive_ts"] >= 0.19
    assert served.post("/steady_clock_offset", {"offset": 1e6}).status == 200
    assert served.get("/steady_clock_offset").json["receive_ts"] > before["receive_ts"] + 9e5
    assert served.post("/steady_clock_offset", {"offset": "x"}).status == 400


def test_a_directory_is_named_by_its_last_part(simulator, tmp_path):
    folder = tmp_path / "TinyLlama-1.1B"
    folder.mkdir()
    card = simulator(model=str(folder)).get("/v1/models").json["data"][0]
    assert (card["id"], card["created"]) == ("TinyLlama-1.1B", CREATED)


def test_main_can_serve_under_another_name(simulator):
    served = simulator(dialect="main", served_model_name="alias")
    assert served.get("/v1/models").json["data"][0]["id"] == "alias"


def test_main_counts_tokens(simulator):
    served = simulator(dialect="main")
    reply = served.post("/_internal/tokenize", {"prompt": "hello", "model": "m"}).json
    assert reply["count"] == len(reply["tokens"]) > 0
    for wrong in ({"text": "hello"}, {"prompt": "hello", "messages": []}, {"prompt": ["a"]}):
        refused = served.post("/_internal/tokenize", wrong)
        assert refused.status == 400
        assert "validation error" in refused.json["error"]
    assert simulator().post("/_internal/tokenize", {"prompt": "hello"}).status == 404


def test_a_slash_too_many_is_redirected_and_documents_exist(simulator):
    served = simulator()
    reply = served.get("/v1/models/")
    assert reply.status == 307
    assert reply.headers["location"].endswith("/v1/models")
    assert "/v1/completions" in served.get("/openapi.json").json["paths"]
    assert served.get("/docs").headers["content-type"].startswith("text/html")


def test_a_wrong_method_says_which_are_right(simulator):
    reply = simulator().request("PUT", "/_sim/faults")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST, DELETE")


def test_the_engines_state_is_shown(simulator):
    state = simulator().get("/_sim/engine").json
    assert state["healthy"] is True
    assert {"active", "queued", "late_steps", "worst_late_s", "dropped_s"} <= set(state)
