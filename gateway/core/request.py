"""Check a request: the few values decided on, the rest as the bytes they came in.

Each field that is present is checked against `core.field_tables`; whatever is wrong is said
with the field's name. Nothing here raises anything but the errors of `gateway.core.errors`.
"""

import difflib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw

from gateway.core.errors import InvalidRequest, PermissionDenied
from gateway.core.field_tables import CHECKS, FIELDS, field_of
from gateway.core.fields import StreamOptions
from gateway.core.operation import RESPONSE_ID, Operation
from gateway.core.prompt import read_prompt
from gateway.core.response_id import StoredResponse
from gateway.core.snapshot import Limits

_NULL = Raw(b"null")
_LONGEST_NAME = 64
"""Longer names are shown cut, and no likeness is sought for them: it would take too long."""


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A checked request, ready to be shaped for whichever replica is picked."""

    operation: Operation
    model: str
    """As the client named it."""
    fields: dict[str, Raw]
    """Top-level fields with their JSON text; those that are null are left out.

    To OpenAI null is the same as nothing; to trtllm-serve it is a wrong type for some fields.
    """
    stream: bool
    usage_wanted: bool
    """The client asked for the usage event of a stream."""
    usage_everywhere: bool
    """... and for running counts in every chunk."""
    n: int
    best_of: int
    """Sequences generated for each prompt, of which ``n`` are answered."""
    prompts: int
    max_tokens: int | None
    prompt_bytes: int
    """Length of the prompt's JSON text: what its prefill time is estimated from."""
    refers_to: StoredResponse | None = None
    """A stored response that it is about: no replica but the one that keeps it can serve it."""

    @property
    def choices(self) -> int:
        """How many choices a complete answer has."""
        return self.n * self.prompts

    @property
    def route(self) -> str:
        """Where a replica takes it."""
        route = self.operation.route
        if self.refers_to is None:
            return route
        return route.replace(RESPONSE_ID, quote(self.refers_to.upstream_id, safe=""))


def model_name(fields: dict[str, Raw]) -> str:
    """Return the ``model`` field.

    Raises:
        InvalidRequest: it is missing, empty or not a string.
    """
    raw = fields.get("model")
    if raw is None or raw == _NULL:
        raise InvalidRequest('field "model" is missing: name one of /v1/models', param="model")
    name: str = _value("completions", "model", raw)
    return name


def parse(
    operation: Operation,
    fields: dict[str, Raw],
    limits: Limits,
    *,
    scopes: frozenset[str] | None,
) -> InferenceRequest:
    """Check every field and draw out what the gateway decides on.

    Args:
        operation: which endpoint was called.
        fields: as `gateway.core.body.cut` gave them.
        limits: the model's.
        scopes: scoped fields that the client's key may send; None for all.

    Raises:
        InvalidRequest: a field is unknown, of the wrong type, out of range, or missing.
        PermissionDenied: a scoped field without its scope.
    """
    model = model_name(fields)
    present = _present(operation.name, fields, scopes)
    table = FIELDS[operation.name]  # what is not in it is passed on unseen
    values = {
        name: _value(operation.name, name, raw)
        for name, raw in present.items()
        if name in table
    }
    stream = bool(values.get("stream"))
    options = values.get("stream_options")
    if options is not None and not stream:
        raise InvalidRequest(
            'field "stream_options" needs "stream": true', param="stream_options"
        )
    n, best_of = _sequences(values, limits.n)
    prompt = read_prompt(operation, present, values, limits.prompts)
    _check(operation, values)
    return InferenceRequest(
        operation=operation,
        model=model,
        fields=present,
        stream=stream,
        usage_wanted=_flag(options, "include_usage"),
        usage_everywhere=_flag(options, "continuous_usage_stats"),
        n=n,
        best_of=best_of,
        prompts=prompt.count,
        max_tokens=next((values[name] for name in operation.limits if values.get(name)), None),
        prompt_bytes=prompt.length_bytes,
    )


def _present(
    operation: str, fields: dict[str, Raw], scopes: frozenset[str] | None
) -> dict[str, Raw]:
    """Return the fields that are not null, each known and allowed."""
    present = {}
    for name, raw in fields.items():
        field = field_of(operation, name)
        if field is None:
            raise InvalidRequest(_unknown(operation, name), param=name[:_LONGEST_NAME])
        if raw == _NULL:
            continue
        if field.scoped and scopes is not None and name not in scopes:
            raise PermissionDenied(f'this API key may not send the field "{name}"', param=name)
        present[name] = raw
    return present


def _check(operation: Operation, values: dict[str, Any]) -> None:
    for name in operation.required:
        if values.get(name) is None:
            raise InvalidRequest(f'field "{name}" is missing', param=name)
    check = CHECKS.get(operation.name)
    if check is not None:
        check(values)


def _value(operation: str, name: str, raw: Raw) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return FIELDS[operation][name].decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as wrong:
        text = str(wrong)
        reason = text[:1].lower() + text[1:]
        raise InvalidRequest(f'field "{name}": {reason}', param=name) from None


def _unknown(operation: str, name: str) -> str:
    if len(name) > _LONGEST_NAME:
        return f'unknown field "{name[:_LONGEST_NAME]}..."'
    near = difflib.get_close_matches(name, FIELDS[operation], 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'unknown field "{name}"{hint}'


def _sequences(values: dict[str, Any], most: int) -> tuple[int, int]:
    """Return ``n`` and ``best_of``."""
    n = values.get("n") or 1
    best_of = values.get("best_of") or n
    for name, count in (("n", n), ("best_of", best_of)):
        if count > most:
            raise InvalidRequest(
                f'field "{name}" is {count}; at most {most} are served', param=name
            )
    if best_of < n:
        raise InvalidRequest(f'field "best_of" is {best_of}, less than "n"', param="best_of")
    return n, best_of


def _flag(options: StreamOptions | None, name: str) -> bool:
    return options is not None and bool(getattr(options, name))
