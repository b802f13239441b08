"""Check a request: the few values decided on, the rest as the bytes they came in.

Each field that is present is checked against `core.field_tables`; whatever is wrong is said
with the field's name. Nothing here raises anything but the errors of `gateway.core.errors`.
"""

import difflib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw

from gateway.core.body import Body
from gateway.core.errors import InvalidRequest, PermissionDenied
from gateway.core.field_tables import (
    CHECKS,
    COMMON,
    DECODERS,
    FIELDS,
    OTHERS,
    SCOPED,
    VALUES,
    Values,
    field_of,
)
from gateway.core.fields import MOST_SEED
from gateway.core.operation import CHAT, RESPONSE_ID, Operation
from gateway.core.prompt import count_prompts, prompt_names, prompt_steps
from gateway.core.response_id import StoredResponse
from gateway.core.snapshot import Limits
from gateway.core.spelling import respelled
from gateway.core.steps import Steps, finish

_NULL = Raw(b"null")
_LONGEST_NAME = 64
"""Longer names are shown cut, and no likeness is sought for them: it would take too long."""
_SHORT_BYTES = 1 << 13
"""Up to this, to decode a body again is quicker than to decode its fields one by one."""
_LONG_BYTES = 1 << 16
_OPTIONS = msgspec.json.Decoder(dict[str, Raw])
_NOTHING: frozenset[str] = frozenset()


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request, ready to be shaped for whichever replica is picked."""

    operation: Operation
    model: str
    """As the client named it."""
    body: Body
    fields: dict[str, Raw]
    """Top-level fields that are not null, as in the body's outline."""
    unsent: frozenset[str]
    """Fields that no replica gets: null is no value of theirs, or not the client's to send."""
    common: bool = False
    """It is known that every replica accepts all fields of the body."""
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
    cache_salt: str | None
    """Keeps the prompt's share of a replica's cache apart from that of other tenants."""
    counted: bool = False
    """Its stream is to tell with each event how many tokens came so far."""
    refers_to: StoredResponse | None = None
    """A stored response that it is about: no replica but the one that keeps it can serve it."""

    @property
    def choices(self) -> int:
        """How many choices a complete answer has."""
        return self.n * self.prompts

    @property
    def slots(self) -> int:
        """How many sequences a replica generates for it: what it takes of a limit."""
        return max(self.n, self.best_of) * self.prompts

    @property
    def prompt_texts(self) -> tuple[memoryview, ...]:
        """The JSON texts that the prompt is made of, as they came."""
        return tuple(map(self.body.value, prompt_names(self.operation, self.fields)))

    @property
    def prompt_bytes(self) -> int:
        """Length of the prompt's JSON text: what its prefill time is estimated from."""
        return sum(map(len, self.prompt_texts))

    @property
    def route(self) -> str:
        """Where a replica takes it."""
        route = self.operation.route
        if self.refers_to is None:
            return route
        return route.replace(RESPONSE_ID, quote(self.refers_to.upstream_id, safe=""))


def model_name(fields: Mapping[str, Raw]) -> str:
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
    body: Body,
    limits: Limits,
    *,
    scopes: frozenset[str] | None,
    cache_salt: str | None = None,
) -> InferenceRequest:
    """Do `parse_steps` at once."""
    steps = parse_steps(operation, body, limits, scopes=scopes, cache_salt=cache_salt)
    return finish(steps)


def parse_steps(
    operation: Operation,
    body: Body,
    limits: Limits,
    *,
    scopes: frozenset[str] | None,
    cache_salt: str | None = None,
) -> Steps[InferenceRequest]:
    """Check every field and draw out what the gateway decides on.

    Args:
        operation: which endpoint was called.
        body: as `gateway.core.body.cut` gave it.
        limits: the model's.
        scopes: scoped fields that the client's key may send; None for all.
        cache_salt: `InferenceRequest.cache_salt`.

    Raises:
        InvalidRequest: a field is unknown, of the wrong type, out of range, or missing.
        PermissionDenied: a scoped field without its scope.
    """
    given, unsent, common = _given(operation.name, body.fields, scopes)
    values = _short_values(operation.name, body.text)
    if values is None:
        values = yield from _value_steps(operation.name, given)
    options = values.stream_options
    if options is not None and not values.stream:
        _check_unstreamed(operation, given["stream_options"])
    if values.seed is not None and values.seed > MOST_SEED:
        raise InvalidRequest(f'field "seed": expected `int` <= {MOST_SEED}', param="seed")
    n, best_of = _sequences(values, limits.n)
    prompts = count_prompts(operation, given, values)
    if prompts is None:
        name = operation.prompt[0]
        prompts = yield from prompt_steps(name, given[name], limits.prompts)
    _check(operation, values)
    return InferenceRequest(
        operation=operation,
        model=values.model or model_name(body.fields),  # which says what is wrong
        body=body,
        fields=given,
        unsent=unsent,
        common=common,
        stream=bool(values.stream),
        usage_wanted=options is not None and bool(options.include_usage),
        usage_everywhere=options is not None and bool(options.continuous_usage_stats),
        n=n,
        best_of=best_of,
        prompts=prompts,
        max_tokens=_limit(operation, values),
        cache_salt=cache_salt,
    )


def _given(
    operation: str, fields: dict[str, Raw], scopes: frozenset[str] | None
) -> tuple[dict[str, Raw], frozenset[str], bool]:
    """Return the fields that are not null, the names that nobody gets, and `common`."""
    common = COMMON[operation].issuperset(fields)
    if common and _NULL not in fields.values():
        return fields, _NOTHING, True
    table = FIELDS[operation]
    if not table.keys() >= fields.keys() and operation not in OTHERS:
        name = next(name for name in fields if name not in table)
        raise InvalidRequest(_unknown(operation, name), param=name[:_LONGEST_NAME])
    given, unsent = fields, _NOTHING
    if _NULL in fields.values():
        given = {name: raw for name, raw in fields.items() if raw != _NULL}
        nulls = fields.keys() - given.keys()
        rules = {name: field_of(operation, name) for name in nulls}
        unsent = frozenset(name for name, rule in rules.items() if rule and not rule.nullable)
    if scopes is not None and not SCOPED[operation].isdisjoint(fields):
        denied = [name for name in fields if name in SCOPED[operation] - scopes]
        for name in denied:
            if name in given:
                raise PermissionDenied(
                    f'this API key may not send the field "{name}"', param=name
                )
        unsent = unsent.union(denied)
    return given, unsent, common


def _limit(operation: Operation, values: Values) -> int | None:
    for name in operation.limits:
        limit: int | None = getattr(values, name)
        if limit:
            return limit
    return None


def _check(operation: Operation, values: Values) -> None:
    for name in operation.required:
        if getattr(values, name) is None:
            raise InvalidRequest(f'field "{name}" is missing', param=name)
    check = CHECKS.get(operation.name)
    if check is not None:
        check(values)


def _short_values(operation: str, text: bytes) -> Values | None:
    """Decode the values whose types are checked; None if the text is long, or one is wrong."""
    if len(text) > _SHORT_BYTES:
        return None
    try:
        values: Values = DECODERS[operation].decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return values


def _value_steps(operation: str, given: Mapping[str, Raw]) -> Steps[Values]:
    """Decode the same one by one: of repeated fields only the last must be right."""
    kind = VALUES[operation]
    values: Values = kind()
    for name, raw in given.items():
        if name in kind.__struct_fields__:
            setattr(values, name, _value(operation, name, raw))
            if len(memoryview(raw)) > _LONG_BYTES:
                yield
    return values


def _value(operation: str, name: str, raw: Raw) -> Any:  # noqa: ANN401 - any JSON value
    decoder = FIELDS[operation][name].decoder
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as wrong:
        reason = str(wrong)
    for text in respelled(bytes(raw)):
        with suppress(msgspec.DecodeError):
            return decoder.decode(text)
    reason = reason[:1].lower() + reason[1:]
    raise InvalidRequest(f'field "{name}": {reason}', param=name)


def _unknown(operation: str, name: str) -> str:
    if len(name) > _LONGEST_NAME:
        return f'unknown field "{name[:_LONGEST_NAME]}..."'
    near = difflib.get_close_matches(name, FIELDS[operation], 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'unknown field "{name}"{hint}'


def _check_unstreamed(operation: Operation, options: Raw) -> None:
    """Refuse ``stream_options``, which completions alone may have if there are none in it."""
    if operation is CHAT or _OPTIONS.decode(options):
        raise InvalidRequest(
            'field "stream_options" needs "stream": true', param="stream_options"
        )


def _sequences(values: Values, most: int) -> tuple[int, int]:
    """Return ``n`` and ``best_of``."""
    n = values.n or 1
    best_of = values.best_of or n
    if best_of == n == 1:
        return n, best_of
    for name, count in (("n", n), ("best_of", best_of)):
        if count > most:
            raise InvalidRequest(
                f'field "{name}" is {count}; at most {most} are served', param=name
            )
    if best_of < n:
        raise InvalidRequest(f'field "best_of" is {best_of}, less than "n"', param="best_of")
    return n, best_of
