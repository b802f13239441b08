"""Where configuration comes from: a YAML file, the environment, the command line, the demo.

Each source gives a `Document`: its values and the place where each was written. Laying one over
another lays both, so that an error always names the place that won.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway.config.problems import ConfigInvalid, KeyPath, Place, Problem, dotted
from gateway.config.schema import overlay

_MAX_NODES = 100_000
"""Aliases of aliases can unfold without bounds."""
_TEXT_KEYS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}


@dataclass(frozen=True, slots=True)
class Document:
    """Values and their places."""

    values: dict[str, Any] = field(default_factory=dict)
    places: Mapping[KeyPath, Place] = field(default_factory=dict)

    def over(self, under: "Document") -> "Document":
        """Return both, with this one's values where they clash."""
        return Document(overlay(under.values, self.values), {**under.places, **self.places})

    def append(self, key: str, value: object, place: Place) -> "Document":
        """Return this document with one more item in the list at the top-level ``key``."""
        items = self.values.get(key) or []
        if not isinstance(items, list):  # wrong already: the check will say so
            return self
        values = {**self.values, key: [*items, value]}
        return Document(values, {**self.places, (key, len(items)): place})

    def place(self, path: KeyPath) -> Place:
        """Return where the value at ``path``, or the nearest one around it, was written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return Place("configuration")


def read_yaml(file: Path) -> Document:
    """Read a configuration file; relative paths in it start at its directory.

    Raises:
        ConfigInvalid: it cannot be read, is no YAML, or says one key twice.
    """
    source = str(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problem = Problem(Place(source), "", f"cannot be read: {reason}")
        raise ConfigInvalid([problem]) from None
    document = parse_yaml(text, source)
    return Document(_absolute(document.values, file.parent.absolute()), document.places)


def parse_yaml(text: str, source: str) -> Document:
    """Parse YAML text; ``source`` is the name that its places carry.

    Raises:
        ConfigInvalid: it is no YAML, or says one key twice.
    """
    try:
        values, places = _parse(text, source)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigInvalid([_syntax_problem(error, text, source)]) from None
    if values is None:
        return Document({}, places)
    if not isinstance(values, dict):
        raise ConfigInvalid([Problem(places[()], "", "must be a mapping of sections")])
    return Document(values, places)


def at_flags(values: Mapping[KeyPath, tuple[str, object]]) -> Document:
    """Build the document of a command line: key path -> (flag, value)."""
    document = Document()
    for path, (flag, value) in values.items():
        nested: Any = value
        for step in reversed(path):
            nested = {step: nested}
        document = Document(nested, {path: Place(flag)}).over(document)
    return document


def _parse(text: str, source: str) -> tuple[object, dict[KeyPath, Place]]:
    loader = yaml.SafeLoader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        if node is None:
            return None, {(): Place(source, 1)}
        places = _places(node, source)  # before `<<` is unfolded
        return loader.construct_document(node), places
    finally:
        loader.dispose()


def _syntax_problem(error: Exception, text: str, source: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = None if mark is None else mark.line + 1
    said = getattr(error, "problem", None) or str(error).split("\n", maxsplit=1)[0]
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
    return Problem(Place(source, line), "", f"is not valid YAML: {said}")


def _places(node: yaml.Node, source: str) -> dict[KeyPath, Place]:
    places: dict[KeyPath, Place] = {(): Place(source, node.start_mark.line + 1)}
    problems: list[Problem] = []
    for path, at in _walk(node, ()):
        place = Place(source, at.start_mark.line + 1)
        if isinstance(path[-1], str) and at.tag not in _TEXT_KEYS:
            problems.append(Problem(place, dotted(path), "keys must be text: put it in quotes"))
        elif path in places:
            first = places[path].line
            problems.append(
                Problem(place, dotted(path), f"is said twice, first in line {first}")
            )
        places[path] = place
        if len(places) > _MAX_NODES:
            problems.append(Problem(place, dotted(path), "is too large: check its aliases"))
            break
    if problems:
        raise ConfigInvalid(problems)
    return places


def _walk(node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, yaml.Node]]:
    """Yield each key and item below ``node`` with its path and the node that shows its line."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key
            yield from _walk(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item
            yield from _walk(item, (*path, index))


def _absolute(
    value: Any,  # noqa: ANN401 - whatever YAML holds
    directory: Path,
    key: str = "",
) -> Any:  # noqa: ANN401 - as above
    """Start the relative paths in ``*_file`` keys and ``state.dir`` at ``directory``."""
    if isinstance(value, dict):
        return {k: _absolute(v, directory, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_absolute(item, directory) for item in value]
    if isinstance(value, str) and (key.endswith("_file") or key == "dir"):
        return value if value.startswith("~") else str(directory / value)
    return value
