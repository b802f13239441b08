"""A plan as text for people: what would run, why, and whether it fits."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from backends.plan import Plan
from backends.trtllm.command import bare_argv, to_yaml, wrap

_GIB = 2**30
_WIDTH = 92


def plan_text(plan: Plan) -> str:
    """Return the whole text, sections separated by blank lines."""
    return "\n\n".join(f"{title}\n{_indent(body)}" for title, body in _sections(plan) if body)


def _sections(plan: Plan) -> Iterator[tuple[str, str]]:
    yield plan.model, _facts(plan)
    yield "Command", wrap(bare_argv(plan))
    yield "/tmp/config.yml", to_yaml(plan.settings.yaml)  # noqa: S108 - shown, never opened
    yield "Added by the gateway to what it spawns itself", _overlays(plan)
    yield f"Memory of each of {len(plan.gpus)} GPUs", _memory(plan)
    yield "Because", _bullets(plan.reasons)
    yield "Warnings", _bullets(plan.warnings)
    yield "Before the start", _bullets(plan.prerequisites)


def _facts(plan: Plan) -> str:
    kinds = sorted({gpu.name for gpu in plan.gpus})
    return _columns(
        {
            "recipe": plan.recipe.id,
            "checkpoint": plan.checkpoint,
            "precision": plan.precision,
            "GPUs": f"{len(plan.gpus)} x {', '.join(kinds)}",
            "release": plan.release,
            "concurrency": f"about {plan.concurrency} requests at once",
            "source": plan.recipe.source,
        }
    )


def _overlays(plan: Plan) -> str:
    return "\n".join(
        f"# {name}: {overlay.why}\n{to_yaml(overlay.yaml).rstrip()}"
        for name, overlay in plan.settings.overlays.items()
    )


def _memory(plan: Plan) -> str:
    fit = plan.fit
    left = fit.memory_bytes - fit.used_bytes - fit.weights_bytes - fit.overhead_bytes
    return _columns(
        {
            "usable": _gib(fit.memory_bytes),
            "used by others": _gib(fit.used_bytes),
            "weights": _gib(fit.weights_bytes),
            "workspace": _gib(fit.overhead_bytes),
            "KV cache": f"{_gib(fit.kv_bytes)}  {fit.tokens:,} tokens",
            "left": _gib(max(0, left - fit.kv_bytes)),
        }
    )


def _gib(size: float) -> str:
    return f"{size / _GIB:7.1f} GiB"


def _columns(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(
        fill(line, _WIDTH, initial_indent="- ", subsequent_indent="  ") for line in lines
    )


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().split("\n"))
