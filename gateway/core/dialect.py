"""Shape a request for the trtllm-serve that it goes to.

Rule: whatever is changed is changed here, from the table in `gateway.core.fields`; the rest of
the body goes out as the bytes that came in.
"""

from dataclasses import replace

import msgspec
from msgspec import Raw

from gateway.core.errors import UnsupportedByReplica
from gateway.core.fields import DIALECTS, FIELDS, Missing
from gateway.core.request import InferenceRequest

_USAGE = b'{"include_usage":true}'
_USAGE_EVERYWHERE = b'{"include_usage":true,"continuous_usage_stats":true}'
_REPLACED = frozenset({"model", "stream_options", "max_tokens", "max_completion_tokens"})
_MULTIPLE_SINCE = DIALECTS.index("1.2")
_REQUIRED = Raw(b'"required"')
_REQUIRED_TOOL_SINCE = DIALECTS.index("main")


def era(dialect: str) -> int:
    """Return the place of ``dialect`` in `DIALECTS`; an unknown one is taken for the newest."""
    return DIALECTS.index(dialect) if dialect in DIALECTS else len(DIALECTS) - 1


def needs(request: InferenceRequest) -> tuple[int, str | None]:
    """Return the oldest era that can serve ``request``, and the field that asks for it.

    `NEVER` (an era past the last) where no trtllm-serve can.
    """
    table = FIELDS[request.operation.name]
    oldest, name = 0, None
    for key in request.fields:
        field = table[key]
        if field.missing is Missing.REFUSE and field.since > oldest:
            oldest, name = field.since, key
    if request.best_of > 1 and oldest < _MULTIPLE_SINCE:
        oldest, name = _MULTIPLE_SINCE, "n" if request.n > 1 else "best_of"
    if oldest < _REQUIRED_TOOL_SINCE and request.fields.get("tool_choice") == _REQUIRED:
        oldest, name = _REQUIRED_TOOL_SINCE, "tool_choice"
    return oldest, name


def unsupported(field: str, dialects: list[str]) -> UnsupportedByReplica:
    """Say that none of a model's replicas, of ``dialects``, does what ``field`` asks."""
    known = ", ".join(sorted(set(dialects)))
    return UnsupportedByReplica(
        f'field "{field}" asks for what this model\'s replicas (TensorRT-LLM {known}) lack',
        param=field,
    )


def body_for(request: InferenceRequest, *, source: str, dialect: str) -> bytes:
    """Return the JSON body that a replica of ``dialect`` gets, with ``source`` as its model.

    The caller has checked `needs`. A stream always asks for its usage event: token counts are
    exact only from the engine, and the relay takes the event out again where the client did not
    want it.
    """
    table = FIELDS[request.operation.name]
    place = era(dialect)
    parts = [b'"model":' + msgspec.json.encode(source)]
    for key, raw in request.fields.items():
        if key not in _REPLACED and table[key].since <= place:
            parts.append(b'"%b":%b' % (key.encode(), raw))
    if request.max_tokens is not None:
        parts.append(b'"%b":%d' % (_limit_name(request), request.max_tokens))
    if request.stream:
        options = _USAGE_EVERYWHERE if request.usage_everywhere else _USAGE
        parts.append(b'"stream_options":' + options)
    return b"{" + b",".join(parts) + b"}"


def _limit_name(request: InferenceRequest) -> bytes:
    # One of the two names only: chat refuses both at once, completions knows just the first.
    chat = request.operation.name == "chat" and "max_completion_tokens" in request.fields
    return b"max_completion_tokens" if chat else b"max_tokens"


def with_max_tokens(request: InferenceRequest, limit: int) -> InferenceRequest:
    """Return ``request`` with a limit where the client set none.

    Without one trtllm-serve reserves cache up to the model's whole context for each request.
    """
    if request.max_tokens is not None:
        return request
    fields = {k: v for k, v in request.fields.items() if k != "max_completion_tokens"}
    fields["max_tokens"] = Raw(b"%d" % limit)
    return replace(request, fields=fields, max_tokens=limit)
