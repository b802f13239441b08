"""What the server remembers of its engine, until somebody reads it.

``/metrics``, ``/perf_metrics`` and ``/kv_cache_events`` hand out each fact once: a second
reader finds them gone.
"""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from backends.simulator.prometheus import Exposition
from backends.simulator.requestlog import RequestEntry
from backends.simulator.settings import Settings
from backends.simulator.stats import (
    CreatedEvent,
    IterationStats,
    KvEvent,
    RemovedEvent,
    RequestRecord,
    StoredEvent,
)


class Observations:
    """Rings of iterations and requests, and the Prometheus series."""

    def __init__(self, settings: Settings, *, to_wall: Callable[[float], float]) -> None:
        """Use ``to_wall`` to turn the engine's instants into Unix seconds."""
        self._settings = settings
        self._to_wall = to_wall
        self._steps: deque[IterationStats] = deque(maxlen=settings.iter_stats_max_iterations)
        self._requests: deque[dict[str, Any]] = deque(
            maxlen=settings.perf_metrics_max_requests or None
        )
        self.exposition = Exposition(settings)

    def on_step(self, stats: IterationStats) -> None:
        """Remember one iteration, when the server was told to."""
        if self._settings.iter_perf_stats:
            self._steps.append(stats)
            self.exposition.last_step = stats

    def on_request(
        self, record: RequestRecord, entry: RequestEntry, finish_reason: str, offset_s: float
    ) -> None:
        """Remember one finished request."""
        settings = self._settings
        if not settings.return_perf_metrics or record.aborted:
            return
        if "responses" in entry.path and not settings.dialect.counts_responses:
            return
        if settings.dialect.request_metrics and settings.perf_metrics_max_requests:
            self._requests.append(request_metrics(record, entry, offset_s))
        if entry.stream or "chat" not in entry.path or settings.dialect.counts_unstreamed_chat:
            self.exposition.observe(record, finish_reason)

    def drain_steps(self) -> list[dict[str, Any]]:
        """Return the iterations since the last call."""
        steps, self._steps = self._steps, deque(maxlen=self._steps.maxlen)
        return [iteration_stats(s, self._settings, self._to_wall(s.started_at)) for s in steps]

    def drain_requests(self) -> list[dict[str, Any]]:
        """Return the requests since the last call."""
        requests = list(self._requests)
        self._requests.clear()
        return requests


def iteration_stats(
    step: IterationStats, settings: Settings, started_at: float
) -> dict[str, Any]:
    """Spell one iteration as ``/metrics`` does; ``started_at`` in Unix seconds."""
    at = datetime.fromtimestamp(started_at, UTC)
    batch, tokens = settings.max_batch_size, settings.max_num_tokens
    return {
        "timestamp": at.strftime("%m-%d-%Y %H:%M:%S.%f"),
        "iter": step.iteration,
        "iterLatencyMS": step.latency_s * 1e3,
        "newActiveRequestsQueueLatencyMS": step.new_active_queue_s * 1e3,
        "numNewActiveRequests": step.new_active_requests,
        "numActiveRequests": step.active_requests,
        "numQueuedRequests": step.queued_requests,
        "numCompletedRequests": step.completed_requests,
        "maxNumActiveRequests": step.max_active_requests,
        "gpuMemUsage": 0,
        "cpuMemUsage": 0,
        "pinnedMemUsage": 0,
        "maxBatchSizeStatic": batch,
        "maxBatchSizeTunerRecommended": 0,
        "maxBatchSizeRuntime": batch,
        "maxNumTokensStatic": tokens,
        "maxNumTokensTunerRecommended": 0,
        "maxNumTokensRuntime": tokens,
        "kvCacheStats": _kv_cache_stats(step),
        "staticBatchingStats": None,
        "inflightBatchingStats": {
            "numScheduledRequests": step.scheduled_requests,
            "numContextRequests": step.context_requests,
            "numGenRequests": step.generation_requests,
            "numPausedRequests": 0,
            "numCtxTokens": step.context_tokens,
            "microBatchId": 0,
            "avgNumDecodedTokensPerIter": step.decoded_tokens_per_iteration,
        },
        "specDecodingStats": _speculation_stats(step),
    }


def _kv_cache_stats(step: IterationStats) -> dict[str, Any]:
    cache = step.kv_cache
    return {
        "maxNumBlocks": cache.max_blocks,
        "freeNumBlocks": cache.free_blocks,
        "usedNumBlocks": cache.used_blocks,
        "tokensPerBlock": cache.tokens_per_block,
        "allocTotalBlocks": cache.allocated_blocks,
        "allocNewBlocks": cache.new_blocks,
        "reusedBlocks": cache.reused_blocks,
        "missedBlocks": cache.missed_blocks,
        "cacheHitRate": cache.hit_rate,
    }


def _speculation_stats(step: IterationStats) -> dict[str, Any] | None:
    if not step.draft_tokens:
        return None
    return {
        "numDraftTokens": step.draft_tokens,
        "numAcceptedTokens": step.accepted_draft_tokens,
        "numRequestsWithDraftTokens": step.requests_with_draft_tokens,
        "acceptanceLength": 1
        + step.accepted_draft_tokens / max(1, step.requests_with_draft_tokens),
        "iterLatencyMS": 0.0,
        "draftOverhead": 0.0,
    }


def request_metrics(
    record: RequestRecord, entry: RequestEntry, offset_s: float
) -> dict[str, Any]:
    """Spell one request as ``/perf_metrics`` does; ``offset_s`` moves its clock."""
    metrics: dict[str, Any] = {
        "first_iter": record.first_iteration,
        "last_iter": record.last_iteration,
        "timing_metrics": {
            name: None if at is None else at + offset_s
            for name, at in (
                ("server_arrival_time", entry.received_at),
                ("arrival_time", record.arrival_at),
                ("first_scheduled_time", record.first_scheduled_at),
                ("first_token_time", record.first_token_at),
                ("server_first_token_time", entry.first_token_at),
                ("last_token_time", record.last_token_at),
            )
        },
        "kv_cache_metrics": {
            "num_total_allocated_blocks": record.allocated_blocks,
            "num_new_allocated_blocks": record.new_blocks,
            "num_reused_blocks": record.reused_blocks,
            "num_missed_blocks": record.missed_blocks,
        },
    }
    if record.draft_tokens:
        metrics["speculative_decoding"] = {
            "acceptance_rate": record.accepted_draft_tokens / record.draft_tokens,
            "total_accepted_draft_tokens": record.accepted_draft_tokens,
            "total_draft_tokens": record.draft_tokens,
        }
    return {"request_id": record.request_id, "perf_metrics": metrics}


def kv_event(event: KvEvent, window_size: int) -> dict[str, Any]:
    """Spell one change of the KV cache as ``/kv_cache_events`` does."""
    data: Mapping[str, Any]
    match event:
        case CreatedEvent():
            data = {"type": "created", "num_blocks_per_cache_level": [event.blocks, 0]}
        case RemovedEvent():
            data = {"type": "removed", "block_hashes": list(event.block_hashes)}
        case StoredEvent():
            data = _stored(event)
    return {"event_id": event.event_id, "data": data, "window_size": window_size}


def _stored(event: StoredEvent) -> dict[str, Any]:
    salt = {"cache_salt": event.salt} if event.salt else {}
    blocks = [
        {
            "type": "stored_block",
            "block_hash": block.block_hash,
            "tokens": [
                {"type": "unique_token", "token_id": token, "token_extra_id": 0}
                for token in block.tokens
            ],
            "cache_level": 0,
            "priority": 35,
            **salt,
        }
        for block in event.blocks
    ]
    return {"type": "stored", "parent_hash": event.parent_hash, "blocks": blocks}
