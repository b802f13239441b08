"""Every metric of the gateway, in one table: name, type, unit, labels, meaning, who fills it.

Rule: a label's values are configured names or words from a fixed list, never anything that a
client chose, so the number of series is bounded by the configuration. What an operator may rely
on is here: a renamed metric or label breaks dashboards that are not ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.telemetry import buckets


class Kind(StrEnum):
    """Metric types of the Prometheus data model."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Filler(StrEnum):
    """Which process counts it."""

    WORKER = "worker"
    """Each worker by itself; exposed with the label ``worker``, never summed."""
    SUPERVISOR = "supervisor"
    """The supervisor alone: one series for the whole gateway."""
    BOTH = "both"
    """Each process by itself; the supervisor's series carries ``worker="supervisor"``."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; the label ``worker`` is added when the dumps are merged."""

    name: str
    kind: Kind
    unit: str
    """Empty for plain counts."""
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()
    """Upper edges without +Inf; only for histograms."""
    filler: Filler = Filler.WORKER


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_MODEL, _REPLICA = ("model",), ("replica",)
_SUPERVISOR = Filler.SUPERVISOR

_REQUESTS = (
    Family(
        "trtgw_requests_total", _C, "", ("model", "operation", "stream", "code", "outcome"),
        "Finished requests.",
    ),
    Family(
        "trtgw_request_duration_seconds", _H, "seconds", ("model", "stream", "result"),
        "End to end: request received to last content (streamed) or end of the answer.",
        buckets.E2E_S,
    ),
    Family(
        "trtgw_time_to_first_token_seconds", _H, "seconds", _MODEL,
        "TTFT: request received to arrival of the first content; streams that reached it.",
        buckets.TTFT_S,
    ),
    Family(
        "trtgw_inter_token_latency_seconds", _H, "seconds", _MODEL,
        "ITL: each gap between neighbouring content events of one choice.",
        buckets.ITL_S,
    ),
    Family(
        "trtgw_time_per_output_token_seconds", _H, "seconds", _MODEL,
        "TPOT of a request: (E2E - TTFT) / (output tokens - 1); sum / count is the average.",
        buckets.ITL_S,
    ),
    Family(
        "trtgw_generation_seconds_total", _C, "seconds", _MODEL,
        "First to last content, over streams with a known number of output tokens.",
    ),
    Family(
        "trtgw_generation_output_tokens_total", _C, "tokens", _MODEL,
        "Output tokens of the same streams; generation seconds / these is the average ITL.",
    ),
    Family(
        "trtgw_stream_chunks_total", _C, "chunks", _MODEL,
        "Content events of streams; output tokens / chunks is the tokens that an event brings.",
    ),
    Family("trtgw_input_tokens_total", _C, "tokens", _MODEL, "Prompt tokens, as reported."),
    Family(
        "trtgw_output_tokens_total", _C, "tokens", _MODEL,
        "Generated tokens, as replicas report.",
    ),
    Family(
        "trtgw_cached_input_tokens_total", _C, "tokens", _MODEL,
        "Prompt tokens taken from the KV cache; part of the input tokens.",
    ),
    Family(
        "trtgw_reasoning_output_tokens_total", _C, "tokens", _MODEL,
        "Tokens of reasoning; part of the output tokens.",
    ),
    Family(
        "trtgw_request_input_tokens", _H, "tokens", _MODEL,
        "Prompt tokens of a request; successful ones only.",
        buckets.TOKENS,
    ),
    Family(
        "trtgw_request_output_tokens", _H, "tokens", _MODEL,
        "Generated tokens of a request; successful ones only.",
        buckets.TOKENS,
    ),
    Family(
        "trtgw_user_throughput_tokens_per_second", _H, "tokens_per_second", _MODEL,
        "Output tokens / E2E of a request, as one user sees it; successful ones only.",
        buckets.TOKENS_PER_S,
    ),
)  # fmt: skip

_LOAD = (
    Family("trtgw_requests_in_flight", _G, "", _MODEL, "Requests admitted and not finished."),
    Family("trtgw_requests_queued", _G, "", _MODEL, "Requests that wait for admission."),
    Family(
        "trtgw_queue_wait_seconds", _H, "seconds", ("model", "result"),
        "Wait for a replica with room, of requests that found none at once. admitted: they got"
        " a place; rejected: they were told to come back; abandoned: their client left.",
        buckets.QUEUE_WAIT_S,
    ),
    Family(
        "trtgw_oldest_request_age_seconds", _G, "seconds", (),
        "Age of the oldest request in flight; 0 with none. Finds a stuck stream.",
    ),
    Family(
        "trtgw_overhead_seconds", _H, "seconds", ("phase",),
        "The gateway's own time. pre: body read to first try at a replica, less the wait for"
        " room; first_chunk: first content received to handed on.",
        buckets.OVERHEAD_S,
    ),
    Family(
        "trtgw_rejections_total", _C, "", ("model", "reason"),
        "Requests refused before a replica was asked.",
    ),
    Family(
        "trtgw_event_loop_lag_seconds", _H, "seconds", (),
        "How late a timer of the event loop fired: delay that the gateway adds to tokens.",
        buckets.LOOP_LAG_S,
    ),
)  # fmt: skip

_UPSTREAM = (
    Family(
        "trtgw_upstream_attempts_total", _C, "", ("replica", "outcome"),
        "Tries at a replica; a request has more than one when it was retried.",
    ),
    Family(
        "trtgw_upstream_retries_total", _C, "", ("model", "reason"),
        "Tries after the first.",
    ),
    Family(
        "trtgw_upstream_resumes_total", _C, "", _MODEL,
        "Streams that went on at another replica after theirs was lost; part of the retries.",
    ),
    Family(
        "trtgw_upstream_retries_exhausted_total", _C, "", _MODEL,
        "Requests that failed although they were retried as often as allowed.",
    ),
    Family(
        "trtgw_upstream_ttft_seconds", _H, "seconds", _REPLICA,
        "Request written to a replica to its first content.",
        buckets.UPSTREAM_TTFT_S,
    ),
    Family(
        "trtgw_upstream_connect_seconds", _H, "seconds", _REPLICA,
        "Time to open a connection to a replica; none is counted when one was reused.",
        buckets.CONNECT_S,
    ),
)  # fmt: skip

_FLEET = (
    Family(
        "trtgw_replica_in_flight", _G, "", _REPLICA,
        "Sequences that all workers have open on a replica; a request may ask for several.",
        filler=_SUPERVISOR,
    ),
    Family(
        "trtgw_replica_state", _G, "", ("replica", "state"),
        "1 for the state that the replica is in, 0 for the others.", filler=_SUPERVISOR,
    ),
    Family(
        "trtgw_replica_state_transitions_total", _C, "", ("replica", "to"),
        "Changes of a replica's state.", filler=_SUPERVISOR,
    ),
    Family(
        "trtgw_replica_ejections_total", _C, "", ("replica", "reason"),
        "How often a replica was left out for a while because it failed requests.",
        filler=_SUPERVISOR,
    ),
    Family(
        "trtgw_replica_health_checks_total", _C, "", ("replica", "result"),
        "Probes of a replica.", filler=_SUPERVISOR,
    ),
)  # fmt: skip

_GATEWAY = (
    Family(
        "trtgw_build_info", Kind.INFO, "", ("version", "revision", "python"),
        "What is running.", filler=_SUPERVISOR,
    ),
    Family(
        "trtgw_worker_up", _G, "", ("worker",),
        "1 while the worker of that slot runs and reports.", filler=_SUPERVISOR,
    ),
    Family(
        "trtgw_telemetry_dropped_total", _C, "", ("signal",),
        "Spans and log lines that were thrown away because their sink was too slow or failed.",
        filler=Filler.BOTH,
    ),
)  # fmt: skip

CATALOGUE: Mapping[str, Family] = {
    family.name: family for family in (*_REQUESTS, *_LOAD, *_UPSTREAM, *_FLEET, *_GATEWAY)
}
"""By name, in the order in which they are exposed."""

OTHER = "other"
"""Label value for a model or replica that is not configured."""
REJECTION_REASONS = (
    "rate_limit", "queue_full", "queue_timeout", "no_replica", "auth", "quota", "too_large",
    "draining", "quarantined",
)  # fmt: skip
"""Values of ``reason`` in `trtgw_rejections_total`."""
SIGNALS = ("spans", "logs")
"""Values of ``signal`` in `trtgw_telemetry_dropped_total`."""
