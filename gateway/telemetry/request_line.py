"""The one log line that each request gets; pure.

Rule: an allow-list. A field is here because it was chosen: nothing that a client wrote but its
request id can reach the log. Durations are in milliseconds; what is not known is left out.
"""

import msgspec

from gateway.core.outcome import RequestFacts


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A finished request, in the order in which people read it; None is left out."""

    request_id: str
    trace_id: str | None = None
    tenant: str | None = None
    key_id: str | None = None
    operation: str | None = None
    model: str | None = None
    stream: bool | None = None
    status: int | None = None
    outcome: str | None = None
    error_code: str | None = None
    rejection: str | None = None
    replica: str | None = None
    attempts: int | None = None
    retries: list[str] | None = None
    queue_ms: float | None = None
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
    return RequestLine(  # by position: 27 names cost more than all the rest of the line
        facts.request_id,
        trace_id,
        facts.tenant,
        facts.key_id,
        facts.operation,
        facts.model,
        facts.stream,
        facts.code,
        facts.outcome,
        facts.error_code,
        facts.rejection,
        None if last is None else last.replica,
        len(facts.attempts) or None,
        facts.retries or None,
        _ms(facts.queued_s) if facts.queued_s else None,
        _ms(facts.ttft_s),
        _ms(facts.tpot_s),
        _ms(max(facts.gaps_s)) if facts.gaps_s else None,
        _ms(facts.e2e_s),
        _ms(facts.overhead_s),
        None if last is None else _ms(last.connect_s),
        facts.input_tokens,
        facts.output_tokens,
        facts.cached_tokens,
        facts.reasoning_tokens,
        facts.content_events or None,
        facts.finish_reasons or None,
    )


def _ms(seconds: float | None) -> float | None:
    # `round` to a number of digits takes four times as long.
    return None if seconds is None else round(seconds * 1_000_000) / 1000
