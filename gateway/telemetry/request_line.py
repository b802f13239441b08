"""The fields of the one log line that each request gets; pure.

Rule: an allow-list. A field is here because it was chosen: nothing that a client wrote but its
request id can reach the log. Durations are in milliseconds; what is not known is left out.
"""

from gateway.core.outcome import RequestFacts


def request_fields(facts: RequestFacts, trace_id: str | None) -> dict[str, object]:
    """Return the fields of a finished request, in the order in which people read them."""
    last = facts.attempts[-1] if facts.attempts else None
    fields: dict[str, object] = {
        "request_id": facts.request_id,
        "trace_id": trace_id,
        "tenant": facts.tenant,
        "key_id": facts.key_id,
        "operation": facts.operation,
        "model": facts.model,
        "stream": facts.stream,
        "status": facts.code,
        "outcome": facts.outcome.value,
        "error_code": facts.error_code,
        "rejection": facts.rejection,
        "replica": last.replica if last is not None else None,
        "attempts": len(facts.attempts) or None,
        "retries": facts.retries or None,
        **_durations(facts),
        "input_tokens": facts.input_tokens,
        "output_tokens": facts.output_tokens,
        "cached_tokens": facts.cached_tokens,
        "reasoning_tokens": facts.reasoning_tokens,
        "chunks": facts.content_events or None,
        "finish_reasons": facts.finish_reasons or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _durations(facts: RequestFacts) -> dict[str, float | None]:
    overhead_s = None if facts.sent_at is None else facts.sent_at - facts.body_read_at
    connect_s = facts.attempts[-1].connect_s if facts.attempts else None
    return {
        "ttft_ms": _ms(facts.ttft_s),
        "tpot_ms": _ms(facts.tpot_s),
        "itl_max_ms": _ms(max(facts.gaps_s, default=None)),
        "e2e_ms": _ms(facts.e2e_s),
        "overhead_ms": _ms(overhead_s),
        "connect_ms": _ms(connect_s),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
