"""What became of a request: the facts that metrics, spans and the log line are made of.

One `Outcome` is at once the metric label, the log field and the span attribute.
"""

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """A request's final fate."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    """4xx: the request itself was wrong."""
    REJECTED = "rejected"
    """Refused by the gateway before a replica was asked.

    Overload, limits, no replica, draining.
    """
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    CLIENT_DISCONNECT = "client_disconnect"
    STREAM_BROKEN = "stream_broken"
    """200 was sent, then the answer broke off: the client got an error event."""
    SHUTDOWN = "shutdown"


class AttemptOutcome(StrEnum):
    """How one try at one replica ended."""

    OK = "ok"
    CONNECT_ERROR = "connect_error"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    TIMEOUT_FIRST_BYTE = "timeout_first_byte"
    TIMEOUT_IDLE = "timeout_idle"
    BROKEN = "broken"
    CANCELLED = "cancelled"
    """The client left."""


class AttemptFacts(msgspec.Struct):
    """One try at one replica; instants are seconds of the worker's monotonic clock."""

    number: int
    """1 for the first."""
    replica: str
    host: str
    port: int
    started_at: float
    ended_at: float = 0.0
    outcome: AttemptOutcome = AttemptOutcome.CANCELLED
    connect_s: float | None = None
    """Time to connect; None when a pooled connection was used."""
    first_content_at: float | None = None
    error_code: str | None = None
    resumed_after: int | None = None
    """Content events that other attempts had brought, where it went on with their stream."""


class RequestFacts(msgspec.Struct):
    """One request.

    Instants are seconds of the worker's monotonic clock (``time.perf_counter``).
    """

    started_at: float
    operation: str
    """Name of one of `gateway.core.operation`."""
    request_id: str = ""
    model: str = "other"
    """The configured name; ``other`` for any name that is not configured."""
    stream: bool = False
    tenant: str | None = None
    key_id: str | None = None
    code: int = 0
    """HTTP status that the client saw; 499 when it left before one was sent."""
    outcome: Outcome = Outcome.CLIENT_DISCONNECT
    error_code: str | None = None
    rejection: str | None = None
    """Why a `REJECTED` request was refused.

    The ``reason`` label of ``trtgw_rejections_total``.
    """
    body_read_at: float = 0.0
    queued_s: float = 0.0
    """Spent waiting for a replica with room, over all attempts."""
    sent_at: float | None = None
    """When the first attempt's request was written."""
    overhead_s: float | None = None
    """The gateway's own time up to then: since the body was read, without the wait for room."""
    first_content_at: float | None = None
    """Arrival of the bytes that hold the first content; only for streams."""
    last_content_at: float | None = None
    ended_at: float = 0.0
    gaps_s: list[float] = []
    """Gaps between neighbouring content events (ITL per event)."""
    content_events: int = 0
    first_relay_s: float | None = None
    """From the arrival of the first content to its hand-over to the client's transport."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    finish_reasons: tuple[str, ...] = ()
    choices: int = 1
    """Choices asked for: prompts x n."""
    attempts: list[AttemptFacts] = []
    retries: list[str] = []
    """Reason of each retry, the ``reason`` label of ``trtgw_upstream_retries_total``."""
    retries_exhausted: bool = False

    @property
    def ttft_s(self) -> float | None:
        """First content minus the start of the request.

        None where no content came or nothing was streamed.
        """
        return (
            None if self.first_content_at is None else self.first_content_at - self.started_at
        )

    @property
    def generation_s(self) -> float | None:
        """Last content minus first content.

        The exact sum of the request's inter-token latencies.
        """
        if self.first_content_at is None or self.last_content_at is None:
            return None
        return self.last_content_at - self.first_content_at

    @property
    def e2e_s(self) -> float:
        """Last content (end of the answer, if not streamed) minus the start of the request."""
        return (
            self.last_content_at if self.last_content_at is not None else self.ended_at
        ) - self.started_at

    @property
    def tpot_s(self) -> float | None:
        """(E2E - TTFT) / (output tokens - 1), as NVIDIA's guide defines it.

        None under two tokens, or where the replica gave no count. For several choices the
        tokens of all are counted, less one for each choice.
        """
        if self.generation_s is None or self.output_tokens is None:
            return None
        steps = self.output_tokens - self.choices
        return self.generation_s / steps * self.choices if steps > 0 else None
