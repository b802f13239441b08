"""A plan as JSON, for the API and the replica's record."""

from typing import Any

from backends.memory import Fit
from backends.plan import Plan, Refusal


def to_json(plan: Plan) -> dict[str, Any]:
    """Return what people and tools may want to know of a plan."""
    flags, yaml = plan.settings.launched()
    return {
        "model": plan.model,
        "checkpoint": plan.checkpoint,
        "recipe": plan.recipe.id,
        "source": plan.recipe.source,
        "precision": plan.precision,
        "release": plan.release,
        "gpus": [
            {"uuid": gpu.uuid, "name": gpu.name, "compute_capability": gpu.sm / 10}
            for gpu in plan.gpus
        ],
        "base": {"flags": dict(plan.settings.flags), "yaml": dict(plan.settings.yaml)},
        "overlays": {
            name: {"yaml": dict(overlay.yaml), "why": overlay.why}
            for name, overlay in plan.settings.overlays.items()
        },
        "launched": {"flags": flags, "yaml": yaml, "env": dict(plan.recipe.env)},
        "memory": _memory(plan.fit),
        "concurrency": plan.concurrency,
        "max_seq_len": plan.settings.get("max_seq_len"),
        "reasons": list(plan.reasons),
        "warnings": list(plan.warnings),
        "prerequisites": list(plan.prerequisites),
    }


def _memory(fit: Fit) -> dict[str, int]:
    """Return one GPU's terms, in bytes and tokens."""
    return {
        "gpu_bytes": fit.memory_bytes,
        "used_by_others_bytes": fit.used_bytes,
        "weights_bytes": fit.weights_bytes,
        "overhead_bytes": fit.overhead_bytes,
        "kv_cache_bytes": fit.kv_bytes,
        "kv_token_bytes": fit.kv_token_bytes,
        "kv_cache_tokens": fit.tokens,
    }


def refusal_to_json(refusal: Refusal) -> dict[str, Any]:
    """Return why not, and what would."""
    return {"code": refusal.code, "reason": refusal.reason, "nearest": refusal.nearest}
