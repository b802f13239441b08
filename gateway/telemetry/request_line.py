"""The one log line that each request gets; pure.

Rule: an allow-list. A field is here because it was chosen: nothing that a client wrote but its
request id can reach the log. Durations are in milliseconds; what is not known is left out.
"""

import msgspec

from gateway.core.outcome import RequestFacts


class RequestLine(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A finished request, in the order in which people read it."""

    request_id: str
    trace_id: str | None = None
    tenant: str | None = None
    key_id: str | None = None
    operation: str
    model: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None = None
    rejection: str | None = None
    replica: str | None = None
    attempts: int | None = None
    retries: list[str] | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    itl_max_ms: float | None = None
    e2e_ms: float | None = None
    overhead_ms: float | None = None
    connect_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    chunks: int | None = None
    finish_reasons: tuple[str, ...] | None = None


def request_line(facts: RequestFacts, trace_id: str | None) -> RequestLine:
    """Return what is logged of a finished request."""
    last = facts.attempts[-1] if facts.attempts else None
    sent_at = facts.sent_at
    return RequestLine(
        request_id=facts.request_id,
        trace_id=trace_id,
        tenant=facts.tenant,
        key_id=facts.key_id,
        operation=facts.operation,
        model=facts.model,
        stream=facts.stream,
        status=facts.code,
        outcome=facts.outcome,
        error_code=facts.error_code,
        rejection=facts.rejection,
        replica=None if last is None else last.replica,
        attempts=len(facts.attempts) or None,
        retries=facts.retries or None,
        ttft_ms=_ms(facts.ttft_s),
        tpot_ms=_ms(facts.tpot_s),
        itl_max_ms=_ms(max(facts.gaps_s, default=None)),
        e2e_ms=_ms(facts.e2e_s),
        overhead_ms=None if sent_at is None else _ms(sent_at - facts.body_read_at),
        connect_ms=None if last is None else _ms(last.connect_s),
        input_tokens=facts.input_tokens,
        output_tokens=facts.output_tokens,
        cached_tokens=facts.cached_tokens,
        reasoning_tokens=facts.reasoning_tokens,
        chunks=facts.content_events or None,
        finish_reasons=facts.finish_reasons or None,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
