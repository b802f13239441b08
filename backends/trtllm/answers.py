"""What the control routes of ``trtllm-serve`` answer, as values; every era's shapes are read.

Read with tolerance: an unknown key is skipped and a missing one is None, for a server of
another release must cost a number on a screen, never the replica.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True)
class Health:
    """What ``/health`` said."""

    ok: bool
    status: int
    message: str = ""
    """The body, for people; empty when it is well."""


@dataclass(frozen=True, slots=True)
class RequestTimings:
    """One finished request of ``/perf_metrics``; instants on the server's own steady clock."""

    request_id: int
    server_arrival_at: float | None
    arrival_at: float | None
    """When the engine got it."""
    first_scheduled_at: float | None
    first_token_at: float | None
    server_first_token_at: float | None
    last_token_at: float | None
    reused_blocks: int | None
    missed_blocks: int | None


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One block that entered a KV cache."""

    block_hash: int
    tokens: tuple[int, ...]
    cache_level: int = 0


@dataclass(frozen=True, slots=True)
class KvEvent:
    """One change of a replica's KV cache.

    Ids count up; an id that starts again at 0 with ``created`` is a restarted engine.
    """

    event_id: int
    kind: str
    """``created``, ``stored``, ``removed`` or ``updated``."""
    parent_hash: int | None = None
    stored: tuple[StoredBlock, ...] = ()
    removed: tuple[int, ...] = ()
    window_size: int | None = None


def read_timings(body: object) -> list[RequestTimings]:
    """Read ``/perf_metrics``; what is no request is skipped."""
    return [
        _timings(int(item["request_id"]), item["perf_metrics"])
        for item in _mappings(body)
        if isinstance(item.get("request_id"), int)
        and isinstance(item.get("perf_metrics"), Mapping)
    ]


def _timings(request_id: int, metrics: Mapping[str, Any]) -> RequestTimings:
    times, cache = _part(metrics, "timing_metrics"), _part(metrics, "kv_cache_metrics")
    return RequestTimings(
        request_id=request_id,
        server_arrival_at=_number(times, "server_arrival_time"),
        arrival_at=_number(times, "arrival_time"),
        first_scheduled_at=_number(times, "first_scheduled_time"),
        first_token_at=_number(times, "first_token_time"),
        server_first_token_at=_number(times, "server_first_token_time"),
        last_token_at=_number(times, "last_token_time"),
        reused_blocks=_whole(cache, "num_reused_blocks"),
        missed_blocks=_whole(cache, "num_missed_blocks"),
    )


def read_kv_events(body: object) -> list[KvEvent]:
    """Read ``/kv_cache_events``, oldest first; what is no event is skipped."""
    return [
        _kv_event(int(item["event_id"]), item["data"], _whole(item, "window_size"))
        for item in _mappings(body)
        if isinstance(item.get("event_id"), int) and isinstance(item.get("data"), Mapping)
    ]


def _kv_event(event_id: int, data: Mapping[str, Any], window_size: int | None) -> KvEvent:
    hashes = data.get("block_hashes")
    return KvEvent(
        event_id=event_id,
        kind=str(data.get("type", "")),
        parent_hash=_whole(data, "parent_hash"),
        stored=tuple(_block(b) for b in _mappings(data.get("blocks")) if "block_hash" in b),
        removed=tuple(hashes) if isinstance(hashes, list) else (),
        window_size=window_size,
    )


def read_logprobs(body: object) -> tuple[tuple[str, ...], tuple[float, ...]] | None:
    """Read a completion's tokens and their log probabilities; None where it has none."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    first = next(iter(_mappings(choices)), {})
    columns = _part(first, "logprobs")
    tokens, logprobs = columns.get("tokens"), columns.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(logprobs, list) or not tokens:
        return None
    known = [p for p in logprobs if isinstance(p, int | float) and isfinite(p)]
    if len(tokens) != len(logprobs) or len(known) != len(logprobs):
        return None
    return tuple(map(str, tokens)), tuple(map(float, known))


def _block(block: Mapping[str, Any]) -> StoredBlock:
    tokens = _mappings(block.get("tokens"))
    return StoredBlock(
        block_hash=block["block_hash"],
        tokens=tuple(token["token_id"] for token in tokens if "token_id" in token),
        cache_level=_whole(block, "cache_level") or 0,
    )


def _mappings(body: object) -> Iterable[Mapping[str, Any]]:
    items = body if isinstance(body, list) else []
    return (item for item in items if isinstance(item, Mapping))


def _part(whole: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = whole.get(key)
    return part if isinstance(part, Mapping) else {}


def _number(part: Mapping[str, Any], key: str) -> float | None:
    value = part.get(key)
    return float(value) if isinstance(value, int | float) else None


def _whole(part: Mapping[str, Any], key: str) -> int | None:
    value = part.get(key)
    return value if isinstance(value, int) else None
