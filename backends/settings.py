"""The engine settings of one plan: a recipe's, with what was asked for and what is added.

The base is what NVIDIA's guide would have a person type. What the gateway adds by itself stands
apart, in named overlays, so that the two can be told from each other and compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Any

from backends.knobs import FRACTION, KNOBS, Tree, Value, merge, put
from backends.recipes import Recipe

_GRAPH_BATCH = "cuda_graph_config.max_batch_size"
_CHUNKED = "enable_chunked_prefill"
_KV_EVENTS = 16_384
"""KV cache events that wait for the gateway: seconds of a busy replica."""
_PERF_REQUESTS = 1000
"""Finished requests whose timings wait for the gateway."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Options that the gateway lays over a recipe by itself, and why."""

    yaml: Mapping[str, Any]
    why: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What one ``trtllm-serve`` is told."""

    flags: Mapping[str, Value]
    """Base: command-line flags in order, without dashes."""
    yaml: Mapping[str, Any]
    """Base: the file for ``--extra_llm_api_options``."""
    overlays: Mapping[str, Overlay] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    """How the base differs from the recipe, and why, for people."""

    def get(self, name: str, otherwise: Any = None) -> Any:  # noqa: ANN401 - any knob
        """Return the base value of a knob; None where neither flags nor YAML set it."""
        if name in self.flags:
            return self.flags[name]
        tree: Any = self.yaml
        for part in KNOBS[name].path.split("."):
            tree = tree.get(part) if isinstance(tree, Mapping) else None
        return otherwise if tree is None else tree

    def launched(self) -> tuple[dict[str, Value], Tree]:
        """Return flags and YAML of a spawned replica: the base with all overlays.

        The KV fraction moves into the YAML: in older releases a ``kv_cache_config`` there
        replaces the whole object that the flag made, and the flag would be lost without a word.
        """
        flags = dict(self.flags)
        yaml = merge(self.yaml, *(overlay.yaml for overlay in self.overlays.values()))
        if FRACTION in flags and "kv_cache_config" in yaml:
            put(yaml, KNOBS[FRACTION].path, flags.pop(FRACTION))
        return flags, yaml


def settings_for(
    recipe: Recipe, *, tp: int, overrides: Mapping[str, Value], release: str
) -> Settings:
    """Lay ``overrides`` (checked, by knob name) and the gateway's overlays over a recipe.

    ``release`` is the version of ``trtllm-serve`` that will read them: an unknown key ends it.
    """
    flags: dict[str, Value] = {**recipe.flags}
    yaml, changes = merge(recipe.yaml), list[str]()
    _place(flags, recipe, tp, changes)
    asked = _with_graphs(overrides, yaml)
    for name, value in asked.items():
        if name != "tp_size":
            _set(flags, yaml, name, value)
            why = (
                "as asked"
                if name in overrides
                else "to equal max_batch_size, as NVIDIA advises"
            )
            changes.append(f"{name} is {value}, {why}")
    overlays = {"observe": _observe(release)}
    return _admit_long_prompts(Settings(flags, yaml, overlays, tuple(changes)))


def _place(flags: dict[str, Value], recipe: Recipe, tp: int, changes: list[str]) -> None:
    recipe_tp, recipe_ep = recipe.flags["tp_size"], recipe.flags.get("ep_size")
    flags["tp_size"] = tp
    if tp == recipe_tp:
        return
    changes.append(f"tp_size is {tp} instead of the recipe's {recipe_tp}, one for each GPU")
    if recipe.moe and isinstance(recipe_ep, int):
        flags["ep_size"] = tp if recipe_ep == recipe_tp else gcd(recipe_ep, tp)
        changes.append(f"ep_size is {flags['ep_size']}: it must divide tp_size")


def _with_graphs(overrides: Mapping[str, Value], yaml: Tree) -> dict[str, Value]:
    asked = dict(overrides)
    graphs = yaml.get("cuda_graph_config")
    if "max_batch_size" in asked and isinstance(graphs, dict) and "max_batch_size" in graphs:
        asked.setdefault(_GRAPH_BATCH, asked["max_batch_size"])
    return asked


def _set(flags: dict[str, Value], yaml: Tree, name: str, value: Value) -> None:
    """Put a knob where the recipe has it, a new one where it may stand; never in both."""
    knob = KNOBS[name]
    if name == FRACTION and "kv_cache_config" in yaml:  # see `Settings.launched`
        flags.pop(name, None)
        put(yaml, knob.path, value)
    elif knob.flag and (name in flags or name not in yaml):
        flags[name] = value
    else:
        put(yaml, knob.path, value)


def _admit_long_prompts(settings: Settings) -> Settings:
    longest, batch = settings.get("max_seq_len"), settings.get("max_num_tokens")
    if longest <= batch or _CHUNKED in settings.yaml:
        return settings
    why = (
        f"{_CHUNKED} is true: prompts may have up to {longest} tokens and a batch {batch}, and"
        " without it the longer ones are refused"
    )
    return replace(
        settings,
        yaml={**settings.yaml, _CHUNKED: True},
        changes=(*settings.changes, why),
    )


def _observe(release: str) -> Overlay:
    """Switch on what routing and measuring read."""
    yaml: Tree = {"enable_iter_perf_stats": True, "return_perf_metrics": True}
    if not release.startswith("1.0"):  # 1.0 has no /perf_metrics and refuses the key
        yaml["perf_metrics_max_requests"] = _PERF_REQUESTS
    yaml["kv_cache_config"] = {"event_buffer_max_size": _KV_EVENTS}
    return Overlay(yaml, "the gateway reads load, request timings and KV cache events")
