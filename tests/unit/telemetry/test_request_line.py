import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.request_line import request_line
from tests.fakes.facts import attempt, refused, streamed


def request_fields(facts, trace_id):
    return msgspec.to_builtins(request_line(facts, trace_id))


def test_a_served_request_tells_who_what_where_and_how_long():
    facts = streamed(
        tenant="a", key_id="k1", attempts=[attempt(), attempt(2, replica="r2")],
        retries=["broken"], queued_s=0.125, cached_tokens=32, reasoning_tokens=0,
        content_events=4,
    )  # fmt: skip
    assert request_fields(facts, "0af7") == {
        "request_id": "req-1", "trace_id": "0af7", "tenant": "a", "key_id": "k1",
        "operation": "chat", "model": "llama", "stream": True, "status": 200, "outcome": "ok",
        "replica": "r2", "attempts": 2, "retries": ["broken"], "queue_ms": 125.0,
        "ttft_ms": 250.0, "tpot_ms": 375.0, "itl_max_ms": 500.0, "e2e_ms": 1000.0,
        "overhead_ms": 10.0, "connect_ms": 2.0,
        "input_tokens": 100, "output_tokens": 3, "cached_tokens": 32, "reasoning_tokens": 0,
        "chunks": 4, "finish_reasons": ("stop",),
    }  # fmt: skip


def test_a_refused_request_leaves_out_what_never_was():
    assert request_fields(refused(error_code="overloaded"), None) == {
        "request_id": "req-2", "operation": "chat", "model": "llama", "stream": False,
        "status": 503, "outcome": "rejected", "error_code": "overloaded",
        "rejection": "no_replica", "e2e_ms": 1.0,
    }  # fmt: skip


@given(st.floats(0, 10_000))
def test_a_duration_is_written_to_the_nearest_microsecond(e2e_s):
    facts = refused(started_at=0.0, ended_at=e2e_s)
    e2e_ms = request_fields(facts, None)["e2e_ms"]
    assert e2e_ms == round(e2e_ms, 3)
    assert abs(e2e_ms - e2e_s * 1000) <= 0.00050001
