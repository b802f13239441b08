"""Faults of requests before their answer, of probes and of the engine; how they are armed."""

import time

import pytest

from tests.wire.bodies import COMPLETIONS
from tests.wire.serving import eventually, read_to_end, serving

STREAM = {
    "model": "m", "prompt": "hello", "max_tokens": 8, "ignore_eos": True, "stream": True,
    "stream_options": {},
}  # fmt: skip
WHOLE = {"model": "m", "prompt": "hello", "max_tokens": 8, "ignore_eos": True}


def test_a_hanging_server_accepts_and_never_answers(simulator):
    served = simulator()
    served.arm({"kind": "hang"})
    client = served.raw(COMPLETIONS, STREAM)
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert served.entries()[-1]["closed_at"] is None
    client.close()
    eventually(lambda: served.entries()[-1]["closed_at"], "the close was seen")


def test_an_end_before_the_head_is_empty(simulator):
    served = simulator()
    served.arm({"kind": "eof"})
    assert read_to_end(served.raw(COMPLETIONS, STREAM)) == b""


@pytest.mark.parametrize(("fault", "status"), [({}, 500), ({"code": 503}, 503)])
def test_an_http_error_has_the_code_asked_for(simulator, fault, status):
    served = simulator()
    served.arm({"kind": "http_error"} | fault)
    assert served.post(COMPLETIONS, STREAM).status == status


def test_an_internal_error_looks_like_the_clients_fault(simulator):
    served = simulator()
    served.arm({"kind": "internal_error"})
    reply = served.post(COMPLETIONS, STREAM)
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")
    assert "CUDA" in reply.json["message"]


def test_slow_health_and_empty_metrics_take_their_time(simulator):
    served = simulator(enable_iter_perf_stats=True)
    served.post(COMPLETIONS, WHOLE)
    served.arm({"kind": "slow_health", "s": 0.2}, {"kind": "empty_metrics", "s": 0.2})
    for path, body in (("/health", b""), ("/metrics", b"[]")):
        began = time.monotonic()
        assert served.get(path).body == body
        assert time.monotonic() - began >= 0.15


def test_another_model_is_named(simulator):
    served = simulator()
    served.arm({"kind": "wrong_model"})
    assert served.get("/v1/models").json["data"][0]["id"] == "not-m"


def test_a_share_of_the_requests_meets_a_fault_the_same_ones_each_time(simulator):
    served = simulator()

    def outcomes():
        served.arm({"kind": "http_error", "share": 0.5, "seed": 7})
        return [served.post(COMPLETIONS, WHOLE | {"max_tokens": 1}).status for _ in range(20)]

    first = outcomes()
    assert set(first) == {200, 500}
    assert outcomes() == first


def test_faults_are_shown_replaced_and_cleared_at_run_time(simulator):
    served = simulator()
    served.arm({"kind": "cut", "after_tokens": 3}, {"kind": "slow_health", "s": 1})
    shown = served.get("/_sim/faults").json
    assert shown == [
        {"kind": "cut", "share": 1.0, "after_tokens": 3},
        {"kind": "slow_health", "share": 1.0, "after_tokens": 0, "s": 1.0},
    ]
    assert served.request("DELETE", "/_sim/faults").json == []
    assert served.post(COMPLETIONS, WHOLE).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "cut"}, "list of objects"),
        ([{"kind": "nonsense"}], "known: "),
        ([{"kind": "cut", "tokens": 1}], "unknown key 'tokens'"),
        ([{"kind": "cut", "share": 2}], "share must be 0 to 1"),
        ([{"kind": "cut", "after_tokens": "many"}], "after_tokens"),
        (b"{", ""),
    ],
)
def test_faults_that_make_no_sense_are_refused_and_the_old_ones_stay(simulator, body, words):
    served = simulator()
    served.arm({"kind": "wrong_model"})
    reply = served.post("/_sim/faults", body)
    assert reply.status == 400
    assert words in reply.json["error"]
    assert [f["kind"] for f in served.get("/_sim/faults").json] == ["wrong_model"]


def test_a_dead_engine_falls_silent_and_main_is_unhealthy_for_ever():
    with serving(dialect="main") as served:
        served.arm({"kind": "fatal", "after_tokens": 2})
        client = served.raw(COMPLETIONS, STREAM)
        other = served.raw(COMPLETIONS, STREAM | {"max_tokens": 5000})
        eventually(lambda: served.get("/health").status == 503, "the engine is dead")
        assert served.get("/health").body == (
            b"LLM is unavailable. Please check the server logs for more details."
        )
        for silent in (client, other):
            silent.settimeout(0.3)
            with pytest.raises(TimeoutError):
                while True:
                    silent.recv(65536)
            silent.close()


def test_a_refusal_blames_the_client_for_nothing(simulator):
    served = simulator()
    served.arm({"kind": "refuse"})
    reply = served.post(COMPLETIONS, WHOLE)
    assert (reply.status, reply.json["type"]) == (400, "BadRequestError")
    assert "temperature" in reply.json["message"]


def test_a_frozen_engine_generates_nothing_until_it_thaws_and_its_health_is_good(simulator):
    served = simulator()
    served.arm({"kind": "frozen"})
    client = served.raw(COMPLETIONS, STREAM)
    eventually(lambda: served.get("/_sim/engine").json["queued"], "it waits in the engine")
    assert served.get("/health").status == 200
    assert served.get("/v1/models").status == 200
    assert served.entries()[-1]["tokens_sent"] == 0
    served.arm()
    assert b"[DONE]" in read_to_end(client)


def test_a_frozen_engine_stands_still_in_the_middle_of_a_stream_too(simulator):
    served = simulator()
    client = served.raw(COMPLETIONS, STREAM | {"max_tokens": 2_000})
    eventually(lambda: served.entries()[-1]["tokens_sent"] > 3, "it streams")
    served.arm({"kind": "frozen"})

    def stands_still():
        before = served.entries()[-1]["tokens_sent"]
        time.sleep(0.1)
        return served.entries()[-1]["tokens_sent"] == before

    eventually(stands_still, "nothing more comes")
    assert served.entries()[-1]["tokens_sent"] < 2_000
    served.arm()
    assert b"[DONE]" in read_to_end(client)


GREEDY = WHOLE | {"temperature": 0, "logprobs": 1}


def asked_greedily(served):
    choice = served.post(COMPLETIONS, GREEDY).json["choices"][0]
    return choice["text"], choice["logprobs"]["token_logprobs"]


def test_a_drifting_replica_says_something_else_each_time_the_same(simulator):
    served, sibling = simulator(), simulator()
    alike = asked_greedily(served)
    assert asked_greedily(sibling) == alike
    served.arm({"kind": "drift"})
    drifted = asked_greedily(served)
    assert drifted[0] != alike[0]
    assert asked_greedily(served) == drifted
    served.arm()
    assert asked_greedily(served) == alike


@pytest.mark.parametrize(("fault", "by"), [({}, 1.0), ({"s": 0.25}, 0.25)])
def test_low_logprobs_are_lower_by_as_much(simulator, fault, by):
    served = simulator()
    text, before = asked_greedily(served)
    served.arm({"kind": "low_logprobs"} | fault)
    again, after = asked_greedily(served)
    assert again == text
    assert [b - a for b, a in zip(before, after, strict=True)] == pytest.approx([by] * 8)
