"""What is wrong with a configuration: each problem names its place, its key and what to do.

Rule: all problems are collected before anything is refused; nobody fixes a file error by error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import override

KeyPath = tuple[str | int, ...]
_SHOWN = 60
_SAY_ALL = {"extra_forbidden", "missing", "value_error"}
"""Errors whose message needs no value after it; our own checks decide whether to show one."""
_SHAPES = {
    "missing": "is required",
    "string_pattern_mismatch": "has characters or a length that is not allowed here",
    "path_type": "must be a path",
    "model_type": "must be a mapping of keys",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys",
}


class Place(NamedTuple):
    """Where a value was written: a file's line, or a variable or flag, which has none."""

    source: str
    line: int | None = None

    @override
    def __str__(self) -> str:
        """Return ``FILE:LINE``, or the source's name alone."""
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    place: Place
    path: str
    """Dotted key path, such as ``models[0].replicas.min``; empty for the whole file."""
    message: str

    @property
    def line(self) -> int | None:
        """Line in the file; None where the value comes from elsewhere."""
        return self.place.line

    @override
    def __str__(self) -> str:
        """Return ``FILE:LINE: path: message``."""
        return ": ".join(filter(None, (str(self.place), self.path, self.message)))


class ConfigInvalid(Exception):  # noqa: N818 - names the condition
    """The configuration was refused whole; nothing of it is in force."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Carry the problems, in the order of their places."""
        self.problems = sorted(
            problems, key=lambda p: (p.place.source, p.place.line or 0, p.path, p.message)
        )
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: KeyPath) -> str:
    """Write ``("models", 0, "name")`` as ``models[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def keys_at(schema: type[BaseModel], path: KeyPath) -> tuple[str, ...]:
    """Return the keys that the mapping at ``path`` may have; none where it is no section."""
    current: type[BaseModel] | None = schema
    for step in path:
        if current is None:
            return ()
        if isinstance(step, str):
            current = _section_of(_annotation(current, step))
    return (
        () if current is None else tuple(f.alias or n for n, f in current.model_fields.items())
    )


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Say that ``key`` is unknown, with the nearest one there is."""
    names = list(known)
    near = get_close_matches(key, names, n=1, cutoff=0.6)
    hint = (
        f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(sorted(names))}"
    )
    return f"unknown key; {hint}" if names else "unknown key"


def explain(
    error: ValidationError, data: Mapping[str, Any], schema: type[BaseModel]
) -> dict[KeyPath, str]:
    """Return what is wrong for each key path; the alternatives of a union make one sentence."""
    messages: dict[KeyPath, list[str]] = {}
    inputs: dict[KeyPath, object] = {}
    for detail in error.errors(include_url=False):
        path = _path_in(data, detail)
        said = messages.setdefault(path, [])
        message = _message(detail, path, schema)
        if message not in said:
            said.append(message)
        if detail["type"] not in _SAY_ALL:
            inputs[path] = detail["input"]
    return {
        path: _sentence(said) + (f", not {_shown(inputs[path])}" if path in inputs else "")
        for path, said in messages.items()
    }


def _path_in(data: object, detail: ErrorDetails) -> KeyPath:
    """Cut what pydantic adds to a location (a union's branch) off the path in ``data``."""
    path: list[str | int] = []
    for step in detail["loc"]:
        if isinstance(data, dict):
            inside = step in data
        else:
            inside = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if not inside:
            break
        data = data[step]  # type: ignore[index] # `inside` has looked
        path.append(step)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    return tuple(path)


def _message(detail: ErrorDetails, path: KeyPath, schema: type[BaseModel]) -> str:
    if detail["type"] == "extra_forbidden":
        return unknown_key(str(path[-1]), keys_at(schema, path[:-1]))
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] in _SHAPES:
        return _SHAPES[detail["type"]]
    return detail["msg"].replace("Input should", "must").split(", unable to parse")[0]


def _sentence(said: list[str]) -> str:
    return " or ".join(said).replace(" or must be ", " or ")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = "null" if value is None else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _annotation(section: type[BaseModel], key: str) -> object:
    for name, field in section.model_fields.items():
        if key in {name, field.alias}:
            return field.annotation
    return None


def _section_of(annotation: object) -> type[BaseModel] | None:
    """Find the section inside ``Section | None`` or ``tuple[Section, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)
