"""A plan as plain text for a terminal: what, where, why, and the command to paste."""

import textwrap
from collections.abc import Iterator

from backends.memory import Fit
from backends.plan import Plan, Refusal
from backends.trtllm.command import (
    CONFIG,
    bare_script,
    spawned_argv,
    spawned_yaml,
    to_yaml,
    wrap,
)

_GIB = 2**30
_WIDTH = 96
_SHOWN = {"{host}": "127.0.0.1", "{port}": "PORT", f"{{file:{CONFIG}}}": CONFIG}


def plan_text(plan: Plan) -> str:
    """Return the plan for people."""
    return "\n".join(_lines(plan)) + "\n"


def refusal_text(refusal: Refusal) -> str:
    """Return why not, and what would work."""
    text = f"Cannot be run as asked: {refusal.reason}.\n"
    return f"{text}Nearest: {refusal.nearest}.\n" if refusal.nearest else text


def _lines(plan: Plan) -> Iterator[str]:
    gpus = f"{len(plan.gpus)}x {plan.gpus[0].name}"
    yield f"{plan.model}: {plan.checkpoint}, {plan.precision.upper()}, on {gpus}"
    yield from _wrapped(f"Recipe {plan.recipe.id}, from: {plan.recipe.source}")
    yield ""
    yield from _listed("Why", plan.reasons)
    yield from _listed("Warnings", plan.warnings)
    yield from _listed("Needed before the start", plan.prerequisites)
    yield "Memory of each GPU"
    yield from _indented(_memory(plan.fit))
    yield ""
    yield f"About {plan.concurrency} requests at once of {_load(plan)}"
    yield ""
    yield "By hand, as NVIDIA's guide does it (listens on all addresses of the host)"
    yield from _indented(bare_script(plan).rstrip().splitlines())
    yield ""
    yield "By the gateway (listens on 127.0.0.1, on a port of its choice)"
    argv = [_SHOWN.get(word, word) for word in spawned_argv(plan)]
    yield from _indented(wrap(argv).splitlines())
    yield ""
    yield "with this config.yml"
    yield from _indented(spawned_yaml(plan).splitlines())
    for name, overlay in plan.settings.overlays.items():
        yield ""
        yield from _wrapped(f"of which the gateway adds, as '{name}': {overlay.why}")
        yield from _indented(to_yaml(overlay.yaml).splitlines())


def _load(plan: Plan) -> str:
    return f"{plan.recipe.isl} tokens in and {plan.recipe.osl} out"


def _listed(title: str, items: tuple[str, ...]) -> Iterator[str]:
    if items:
        yield title
        for item in items:
            yield from _wrapped(item, first="  - ", then="    ")
        yield ""


def _wrapped(text: str, *, first: str = "", then: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=then)


def _indented(lines: list[str]) -> Iterator[str]:
    return (f"  {line}".rstrip() for line in lines)


def _memory(fit: Fit) -> list[str]:
    rows = [
        ("GPU", fit.memory_bytes, ""),
        ("held by others", -fit.used_bytes, ""),
        ("weights", -fit.weights_bytes, ""),
        ("workspace", -fit.overhead_bytes, "  estimate: activations, graphs, NCCL"),
        ("KV cache", fit.kv_bytes, f"  {fit.tokens:,} tokens of {fit.kv_token_bytes:,} bytes"),
        ("kept free", _kept_free(fit), ""),
    ]
    return [
        f"{name:<15}{size / _GIB:>8.1f} GiB{note}"
        for name, size, note in rows
        if size or name in ("GPU", "KV cache")
    ]


def _kept_free(fit: Fit) -> int:
    taken = fit.used_bytes + fit.weights_bytes + fit.overhead_bytes + fit.kv_bytes
    return fit.memory_bytes - taken
