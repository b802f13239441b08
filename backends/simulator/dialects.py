"""What differs between the releases of ``trtllm-serve`` that are imitated, as one table.

Every difference on the wire is a field here; code asks the field, never the name of a dialect.
Three things are not established by any public source: whether the chunks of 1.2 share one id,
whether the usage chunk of its completions is still a chat object, and whether 1.1 already had
the reply fields seen in 1.2. Until a real server is recorded, 1.2 behaves as 1.1 in the first
two, and 1.1 as 1.2 in the third.

``main`` is the newest of it: ``/v1/messages`` and ``trtllm-serve embeddings`` came there in the
summer of 2026, with the ids and the usage of ``/v1/responses``. What that endpoint is before is
read from the sources; which nulls its events carry depends on the OpenAI package that a server
was built with, and is not established.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Dialect:
    """One release's habits; the defaults are those of 1.0."""

    name: str
    version: str
    """What ``GET /version`` says."""
    era: str
    """One letter; the key of the schema and route tables."""
    id_per_chunk: bool = True
    """Each chunk has a random id and its own ``created``; else a stream has one, a counter."""
    usage_chunk_is_chat: bool = True
    """The usage chunk of ``/v1/completions`` is a ``chat.completion.chunk``."""
    tool_calls_always: bool = True
    """Chat deltas carry ``tool_calls`` even when empty."""
    reasoning_always: bool = False
    """Content deltas carry ``reasoning_content`` even without a reasoning parser."""
    cached_tokens: bool = False
    """Usage has ``prompt_tokens_details``."""
    decoded_per_iter: bool = False
    """Choices have ``avg_decoded_tokens_per_iter``."""
    rich_message: bool = False
    """Whole chat replies have ``reasoning`` and ``mm_embedding_handle``."""
    errors_as_list: bool = True
    """A schema violation is a flat error with FastAPI's list; else ``{"error": text}``."""
    many_choices: bool = False
    """``n`` and ``best_of`` above 1 are served."""
    finish_tool_calls: bool = False
    """A parsed tool call ends with ``tool_calls``."""
    binds_early: bool = False
    """The port is taken (not listened on) before the model loads."""
    health_asks_engine: bool = False
    """``/health`` is 503 after a fatal engine error; else it is a constant 200."""
    survives_zero_max_tokens: bool = True
    """False: the second request with ``max_tokens`` below 1 kills the server."""
    error_frames: bool = False
    """An error inside a streamed completion is told in an event; else the connection is cut."""
    request_metrics: bool = False
    """``/perf_metrics`` exists and ``/prometheus/metrics`` counts it."""
    metric_prefix: str = ""
    metric_labels: bool = False
    """Labels of metrics name the model and engine; else both are ``undefined``."""
    engine_metrics: bool = False
    """``/prometheus/metrics`` also has the gauges of the iteration statistics."""
    counts_unstreamed_chat: bool = True
    """Prometheus sees chat replies that were not streamed."""
    responses_need_harmony: bool = False
    """``/v1/responses`` serves gpt-oss alone."""
    item_ids: bool = False
    """The items of a streamed response have ids; else these are empty strings."""
    responses_usage: bool = False
    """Replies of ``/v1/responses`` have usage; else it is null."""
    streamed_calls: bool = False
    """A streamed response shows its tool calls; else only the last event has them."""
    stores_streamed: bool = False
    """A streamed response can be followed by ``previous_response_id``."""
    previous_needs_store: bool = False
    """``previous_response_id`` is refused when nothing is stored; else it is ignored then."""
    counts_responses: bool = False
    """``/perf_metrics`` and Prometheus see ``/v1/responses``."""
    events_wait_s: float = 2.0
    """How long ``/kv_cache_events`` waits when there are none."""


_A = Dialect(name="1.0", version="1.0.0", era="A")
_B = replace(
    _A,
    name="1.1",
    version="1.1.0",
    era="B",
    reasoning_always=True,
    cached_tokens=True,
    decoded_per_iter=True,
    rich_message=True,
    survives_zero_max_tokens=False,
    request_metrics=True,
    responses_need_harmony=True,
    stores_streamed=True,
)
_C = replace(
    _B,
    name="1.2",
    version="1.2.0",
    era="C",
    tool_calls_always=False,
    errors_as_list=False,
    many_choices=True,
    finish_tool_calls=True,
    binds_early=True,
    survives_zero_max_tokens=True,
    counts_unstreamed_chat=False,
    responses_need_harmony=False,
    stores_streamed=False,
)
_E = replace(
    _C,
    name="main",
    version="1.3.0rc25",
    era="E",
    id_per_chunk=False,
    usage_chunk_is_chat=False,
    health_asks_engine=True,
    error_frames=True,
    metric_prefix="trtllm_",
    metric_labels=True,
    engine_metrics=True,
    counts_unstreamed_chat=True,
    item_ids=True,
    responses_usage=True,
    streamed_calls=True,
    previous_needs_store=True,
    counts_responses=True,
    events_wait_s=0.0,
)

DIALECTS: Mapping[str, Dialect] = {d.name: d for d in (_A, _B, _C, _E)}
"""By the name that ``--dialect`` takes, oldest first."""
