#!/usr/bin/env python3
"""Writes the pages of ``docs/`` that list settings, metrics and commands, from the code itself.

Rule: these pages are never edited by hand; a test compares them with what this script writes.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from gateway.cli import main as cli
from gateway.config import Config
from gateway.config.checks import unused
from gateway.config.models import ModelKeys
from gateway.telemetry.catalogue import CATALOGUE, Family, Filler

DOCS = Path(__file__).parents[1] / "docs"
_MADE = "<!-- Written by scripts/docs.py: edit the code, then run `make docs`. -->\n"
_NO_REAL_LIMIT = 100_000
"""From here on, an upper bound is there to catch slips; it says nothing to a reader."""
_JSON = Mapping[str, Any]


def configuration() -> str:
    """Return the page of all settings, from the model that checks them."""
    schema = Config.model_json_schema()
    models = schema["$defs"]
    lines = [
        "# Configuration\n",
        _MADE,
        "One YAML file, given as `trtllm-gateway serve --config FILE`. Each key is also an",
        "environment variable, `TRTGW_<SECTION>__<KEY>` (`TRTGW_SERVER__PORT`), and the",
        "environment wins. Unknown keys are errors; `trtllm-gateway check-config FILE`",
        "names the line of each.\n",
    ]
    not_yet = _not_yet()
    for section, value in schema["properties"].items():
        lines += [f"## `{section}`\n", f"{_meaning(section, value, models)}\n"]
        lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{key}` | {_values(field)} | {_default(field)} | {_text(key, field, not_yet)} |"
            for key, field in _fields(section, value, models)
        ]
        lines.append("")
    return "\n".join(lines)


def _not_yet() -> tuple[str, ...]:
    """Return the keys that are checked but not acted on, as `unused` tells from a full file."""
    everything = Config.model_validate(
        {
            "defaults": ModelKeys().model_dump(by_alias=True),
            "state": {"redis_url": "redis://127.0.0.1"},
            "auth": {"keys": [{"name": "a", "key_file": "a.key", "limits": {"rpm": 1}}]},
        }
    )
    return tuple(
        ".".join("[]" if isinstance(step, int) else step for step in path).replace(".[]", "[]")
        for path, _ in unused(everything)
    )


def _meaning(section: str, value: _JSON, models: _JSON) -> str:
    target = _target(value, models)
    said = target.get("description") or value.get("description", "")
    if section == "models":
        said += " Every key of `defaults` may stand here too, and wins over it."
    return str(said).replace("``", "`")


def _fields(section: str, value: _JSON, models: _JSON) -> Iterator[tuple[str, _JSON]]:
    target = _target(value, models)
    if "properties" not in target:
        yield section, value
        return
    shared = models["ModelKeys"]["properties"] if section == "models" else {}
    prefix = f"{section}[]" if value.get("type") == "array" else section
    own = {k: f for k, f in target["properties"].items() if k not in shared}
    yield from _flat(prefix, own, models)


def _flat(prefix: str, fields: _JSON, models: _JSON) -> Iterator[tuple[str, _JSON]]:
    for name, field in fields.items():
        target = _target(field, models)
        path = f"{prefix}.{name}"
        if "properties" in target:
            listed = "[]" if field.get("type") == "array" else ""
            yield from _flat(path + listed, target["properties"], models)
        else:
            yield path, field


def _target(field: _JSON, models: _JSON) -> _JSON:
    """Return the mapping that a field holds, or holds a list of; else the field itself."""
    ref = field.get("$ref") or field.get("items", {}).get("$ref")
    return models[ref.rpartition("/")[2]] if ref else field


def _values(field: _JSON) -> str:
    if "anyOf" in field:
        return " or ".join(_values(each) for each in field["anyOf"])
    if "const" in field or "enum" in field:
        return " or ".join(f"`{v}`" for v in field.get("enum", [field.get("const")]))
    kind = {"null": "`null`", "boolean": "`true` or `false`", "array": "list"}.get(
        field["type"]
    )
    if kind is not None:
        return kind
    name = "path" if field.get("format") == "path" else field["type"]
    return name + _bounds(field)


def _bounds(field: _JSON) -> str:
    """Return the range of a number, in words."""
    low, high = field.get("minimum"), field.get("maximum")
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    words = [f"from {low:g}"] if low is not None else []
    words += [f"above {above:g}"] if above is not None else []
    words += [f"to {high:g}"] if high is not None and high < _NO_REAL_LIMIT else []
    words += [f"below {below:g}"] if below is not None else []
    return f", {' '.join(words)}" if words else ""


def _default(field: _JSON) -> str:
    if "default" not in field:
        return "(required)"
    value = field["default"]
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text.replace(str(Path.home()), '~')}`"


def _text(key: str, field: _JSON, not_yet: tuple[str, ...]) -> str:
    said = " ".join(field.get("description", "").replace("``", "`").split()).replace("|", "\\|")
    ahead = any(
        key == early or key.startswith((f"{early}.", f"{early}[]")) for early in not_yet
    )
    return f"{said} *Checked, not acted on yet.*".strip() if ahead else said


def metrics() -> str:
    """Return the page of all metrics, from the catalogue."""
    lines = [
        "# Metrics\n",
        _MADE,
        "`GET /metrics` on the admin port. What workers fill carries the label `worker` and is",
        "not summed: use `sum without (worker) (rate(...))`.\n",
        "| name | type | labels | filled by | meaning |",
        "|---|---|---|---|---|",
        *map(_metric, CATALOGUE.values()),
        "\n## Histogram buckets\n",
        "Upper edges; each ends in `+Inf`.\n",
    ]
    bucketed = [family for family in CATALOGUE.values() if family.buckets]
    for edges, families in groupby(sorted(bucketed, key=_edges), key=_edges):
        names = ", ".join(f"`{family.name}`" for family in families)
        lines.append(f"* {names}: {', '.join(f'{edge:g}' for edge in edges)}")
    return "\n".join(lines) + "\n"


def _edges(family: Family) -> tuple[float, ...]:
    return family.buckets


def _metric(family: Family) -> str:
    worker = () if family.filler is Filler.SUPERVISOR else ("worker",)
    labels = ", ".join(f"`{label}`" for label in (*family.labels, *worker))
    filler = {Filler.BOTH: "both"}.get(family.filler, str(family.filler))
    return f"| `{family.name}` | {family.kind} | {labels} | {filler} | {family.meaning} |"


def commands() -> str:
    """Return the page of all commands: the help that each one prints."""
    lines = ["# Commands\n", _MADE]
    for context in _contexts(cli, "trtllm-gateway", None):
        said = context.command.get_help(context)
        lines += [f"## `{context.command_path}`\n", "```text", said, "```\n"]
    return "\n".join(lines)


def _contexts(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[click.Context]:
    """Yield the context of each command, made as click makes it: commands remember theirs."""
    settings = {**command.context_settings, "terminal_width": 88}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _contexts(found, inner, context)


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "commands.md": commands,
}


def main() -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
        sys.stdout.write(f"  docs/{name}\n")


if __name__ == "__main__":
    main()
