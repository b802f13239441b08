"""A replica's load as its own metrics tell it, from whichever of them the server offers.

An idle engine makes no iterations and so no news: no statistics mean that nothing is known to
have changed, never that the load is zero.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_PREFIX = "trtllm_"


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy an engine is; None for what its release does not tell."""

    running: int | None = None
    queued: int | None = None
    kv_used_share: float | None = None
    """Used blocks of the KV cache, cached prefixes included, 0 to 1."""
    kv_hit_share: float | None = None
    """Prompt blocks that were found in the cache, 0 to 1."""
    max_running: int | None = None
    tokens_per_block: int | None = None
    iteration: int | None = None
    """Number of the newest iteration; only from the statistics."""


def load_from_iterations(stats: Sequence[object]) -> EngineLoad | None:
    """Read ``/metrics``: the newest of the iterations; None when there are none.

    The list is what happened since the last call, so the caller must be its only reader.
    """
    newest = next((item for item in reversed(stats) if isinstance(item, Mapping)), None)
    if newest is None:
        return None
    cache = newest.get("kvCacheStats")
    cache = cache if isinstance(cache, Mapping) else {}
    return EngineLoad(
        running=_whole(newest.get("numActiveRequests")),
        queued=_whole(newest.get("numQueuedRequests")),
        kv_used_share=_share(cache.get("usedNumBlocks"), cache.get("maxNumBlocks")),
        kv_hit_share=_real(cache.get("cacheHitRate")),
        max_running=_whole(newest.get("maxNumActiveRequests")),
        tokens_per_block=_whole(cache.get("tokensPerBlock")),
        iteration=_whole(newest.get("iter")),
    )


def load_from_prometheus(text: str) -> EngineLoad | None:
    """Read ``/prometheus/metrics``; None where the release has no gauges, or none yet."""
    gauges = dict(_gauges(text))
    share = _real(gauges.get("kv_cache_utilization"))
    if share is None:
        share = _share(gauges.get("kv_cache_used_blocks"), gauges.get("kv_cache_max_blocks"))
    load = EngineLoad(
        running=_whole(gauges.get("num_requests_running")),
        queued=_whole(gauges.get("num_requests_waiting")),
        kv_used_share=share,
        kv_hit_share=_real(gauges.get("kv_cache_hit_rate")),
        max_running=_whole(gauges.get("max_num_active_requests")),
        tokens_per_block=_whole(gauges.get("kv_cache_tokens_per_block")),
    )
    return None if load == EngineLoad() else load


def _gauges(text: str) -> Iterator[tuple[str, float]]:
    """Yield each gauge without its prefix; of several processes' values the largest.

    One process of a server has the engine; in the others the gauge stands at zero.
    """
    try:
        for family in text_string_to_metric_families(text):
            if family.type == "gauge" and family.samples:
                largest = max(sample.value for sample in family.samples)
                yield family.name.removeprefix(_PREFIX), largest
    except ValueError:  # cut off or not Prometheus text: what was read before it counts
        return


def _real(value: object) -> float | None:
    """Return a number that can be counted with; whatever else the server sent is unknown."""
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _whole(value: object) -> int | None:
    number = _real(value)
    return None if number is None else int(number)


def _share(used: object, whole: object) -> float | None:
    part, of = _real(used), _real(whole)
    if part is None or of is None or of <= 0:
        return None
    return min(1.0, max(0.0, part / of))
