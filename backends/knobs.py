"""The engine's knobs: each one's command-line flag, its place in the YAML, and what it may be.

A knob stands in one place only: what the YAML says overwrites a flag in some releases of
``trtllm-serve`` and is overwritten by it in others.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

Value = bool | int | float | str | list[int]
Tree = dict[str, Any]
"""Engine options as the YAML nests them."""


@dataclass(frozen=True, slots=True)
class Knob:
    """One option of the engine."""

    name: str
    """As people write it: the flag's name where there is one, else the dotted YAML path."""
    path: str
    """Dotted path in the YAML."""
    check: Callable[[object], bool]
    expected: str
    """What `check` accepts, for people."""
    flag: bool = False
    """May stand on the command line as ``--name``."""


class BadKnob(ValueError):  # noqa: N818 - names the condition
    """An option is unknown, has an impossible value, or stands twice."""


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


def _switch(value: object) -> bool:
    return isinstance(value, bool)


def _counts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_count(size) for size in value)


def _one_of(*words: str) -> Callable[[object], bool]:
    return lambda value: value in words


def _knob(
    name: str, check: Callable[[object], bool], expected: str, flag_of: str | None = None
) -> Knob:
    return Knob(name, flag_of or name, check, expected, flag=flag_of is not None)


_COUNT, _SWITCH = (_count, "a whole number from 1"), (_switch, "true or false")
_MOE = ("CUTLASS", "TRTLLM", "TRITON", "DEEPGEMM", "WIDEEP", "CUTEDSL", "VANILLA")
_ATTENTION = ("TRTLLM", "FLASHINFER", "VANILLA")
_DTYPES = ("auto", "fp8", "nvfp4")
FRACTION = "kv_cache_free_gpu_memory_fraction"

KNOBS: Mapping[str, Knob] = {
    knob.name: knob
    for knob in (
        _knob("tp_size", *_COUNT, "tensor_parallel_size"),
        _knob("ep_size", *_COUNT, "moe_expert_parallel_size"),
        _knob(
            FRACTION,
            _share,
            "a share between 0 and 1",
            "kv_cache_config.free_gpu_memory_fraction",
        ),
        _knob("max_batch_size", *_COUNT, "max_batch_size"),
        _knob("max_num_tokens", *_COUNT, "max_num_tokens"),
        _knob("max_seq_len", *_COUNT, "max_seq_len"),
        _knob("trust_remote_code", *_SWITCH, "trust_remote_code"),
        _knob("enable_attention_dp", *_SWITCH),
        _knob("kv_cache_config.dtype", _one_of(*_DTYPES), f"one of {', '.join(_DTYPES)}"),
        _knob("cuda_graph_config.enable_padding", *_SWITCH),
        _knob("cuda_graph_config.max_batch_size", *_COUNT),
        _knob("cuda_graph_config.batch_sizes", _counts, "a list of whole numbers from 1"),
        _knob("moe_config.backend", _one_of(*_MOE), f"one of {', '.join(_MOE)}"),
        _knob("attention_backend", _one_of(*_ATTENTION), f"one of {', '.join(_ATTENTION)}"),
    )
}
"""The options that may be overridden: those of NVIDIA's quick-start guide, by name."""

_BY_PATH: Mapping[str, Knob] = {knob.path: knob for knob in KNOBS.values()}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf with its dotted path; ``{"a": {"b": 1}}`` gives ``("a.b", 1)``."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def put(tree: Tree, path: str, value: object) -> None:
    """Set the leaf at a dotted path, making the levels above it."""
    *parents, leaf = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value


def merge(*trees: Mapping[str, Any]) -> Tree:
    """Return one tree with the leaves of all; later ones win."""
    merged: Tree = {}
    for tree in trees:
        for path, value in flatten(tree):
            put(merged, path, value)
    return merged


def read_overrides(overrides: Mapping[str, Any]) -> dict[str, Value]:
    """Check options, dotted or nested, under either spelling; return them by `Knob.name`.

    Raises:
        BadKnob: names the option, what was given and what is accepted.
    """
    read: dict[str, Value] = {}
    for path, value in flatten(overrides):
        knob = _find(path)
        if not knob.check(value):
            raise BadKnob(f"{path}: {value!r} is not {knob.expected}")
        if knob.name in read:
            raise BadKnob(f"{path}: stands twice, also as {knob.name}")
        read[knob.name] = value
    return read


def _find(path: str) -> Knob:
    spelled = path.removeprefix("--").replace("-", "_")
    knob = KNOBS.get(spelled) or _BY_PATH.get(spelled)
    if knob is None:
        near = get_close_matches(spelled, [*KNOBS, *_BY_PATH], n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(KNOBS)}"
        raise BadKnob(f"{path}: unknown option; {hint}")
    if knob.name == "trust_remote_code":
        raise BadKnob(
            f"{path}: runs code from the checkpoint's repository, so only a recipe may set it"
        )
    return knob


def doubled(flags: Mapping[str, Any], tree: Mapping[str, Any]) -> list[str]:
    """Return the knobs that stand both in the flags and in the YAML, under any spelling."""
    in_yaml = {path for path, _ in flatten(tree)}
    return [
        name
        for name in flags
        if name in in_yaml or (name in KNOBS and KNOBS[name].path in in_yaml)
    ]
