"""A JSON value that obeys a JSON schema, made without choice.

Only what function parameters and structured output commonly use is read: types, ``enum``,
``const``, ``properties``, ``items``, ``minItems``, bounds of numbers, ``anyOf`` and local
``$ref``. Properties are filled in, in the order of the schema; deep down only required ones.
"""

from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]
DEEP, MAX_DEPTH = 4, 12
"""Below the first, what is optional is left out; at the second, recursion ends in null."""


def sample(schema: Schema, *, name: str = "value") -> object:
    """Return a value that ``schema`` accepts; strings are made from ``name``."""
    return _sample(schema, schema, name, 0)


def _sample(schema: Schema, root: Schema, name: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        return None
    schema = _resolve(schema, root)
    for key, fixed in _FIXED.items():
        if schema.get(key):
            return fixed(schema[key])
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _sample(schema[choice][0], root, name, depth + 1)
    return _typed(schema, root, name, depth)


def _typed(schema: Schema, root: Schema, name: str, depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    if kind == "object":
        parts = schema.get("properties") or {}
        wanted = parts if depth < DEEP else set(schema.get("required") or ()) & set(parts)
        return {
            key: _sample(parts[key], root, key, depth + 1) for key in parts if key in wanted
        }
    if kind == "array":
        one = schema.get("items") or {}
        count = max(1, schema.get("minItems", 1))
        return [_sample(one, root, name, depth + 1) for _ in range(count)]
    return _SCALARS.get(kind, _null)(schema, name)


def _resolve(schema: Schema, root: Schema) -> Schema:
    ref = schema.get("$ref")
    if not isinstance(ref, str) or not ref.startswith("#/"):
        return schema
    found: Any = root
    for part in ref[2:].split("/"):
        found = found.get(part, {})
    return found if isinstance(found, Mapping) else {}


def _string(schema: Schema, name: str) -> str:
    text = f"some {name}"
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _integer(schema: Schema, name: str) -> int:  # noqa: ARG001 - all makers have one signature
    above = schema.get("exclusiveMinimum", -1) + 1
    low = schema.get("minimum", above)
    return int(min(low, schema.get("maximum", low)))


def _number(schema: Schema, name: str) -> float:
    return float(_integer(schema, name))


def _boolean(schema: Schema, name: str) -> bool:  # noqa: ARG001
    return True


def _null(schema: Schema, name: str) -> None:  # noqa: ARG001
    return None


_FIXED: Mapping[str, Callable[[Any], object]] = {
    "const": lambda value: value,
    "enum": lambda values: values[0],
}
_SCALARS: Mapping[str, Callable[[Schema, str], object]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
}
