"""Facts of requests that ended, as the data plane would have gathered them."""

from itertools import pairwise

from gateway.core.outcome import AttemptFacts, AttemptOutcome, Outcome, RequestFacts


def attempt(number=1, **changed):
    """An attempt that went well: 2 ms to connect, first content after 0.25 s."""
    facts = AttemptFacts(
        number=number, replica="r1", host="127.0.0.1", port=8000,
        started_at=10.01, ended_at=11.0, outcome=AttemptOutcome.OK,
        connect_s=0.002, first_content_at=10.25,
    )  # fmt: skip
    for name, value in changed.items():
        setattr(facts, name, value)
    return facts


def streamed(arrivals=(10.25, 10.5, 11.0), **changed):
    """A stream that started at 10.0 and whose content came at ``arrivals``."""
    facts = RequestFacts(
        started_at=10.0, operation="chat", request_id="req-1", model="llama", stream=True,
        code=200, outcome=Outcome.OK, body_read_at=10.0, sent_at=10.01, overhead_s=0.01,
        ended_at=11.5,
        first_content_at=arrivals[0] if arrivals else None,
        last_content_at=arrivals[-1] if arrivals else None,
        gaps_s=[later - earlier for earlier, later in pairwise(arrivals)],
        content_events=len(arrivals), first_relay_s=0.0004,
        input_tokens=100, output_tokens=len(arrivals) or None,
        finish_reasons=("stop",), attempts=[attempt()],
    )  # fmt: skip
    for name, value in changed.items():
        setattr(facts, name, value)
    return facts


def refused(**changed):
    """A request that the gateway refused before it asked a replica."""
    facts = RequestFacts(
        started_at=10.0, operation="chat", request_id="req-2", model="llama", ended_at=10.001,
        code=503, outcome=Outcome.REJECTED, error_code="no_replica", rejection="no_replica",
        body_read_at=10.0,
    )  # fmt: skip
    for name, value in changed.items():
        setattr(facts, name, value)
    return facts
