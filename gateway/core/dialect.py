"""Shape a request for the trtllm-serve that it goes to.

Rule: whatever is changed is changed here, from the tables in `core.field_tables`; the rest of
the body goes out as the bytes that came in.
"""

from collections.abc import Mapping
from dataclasses import replace

import msgspec
from msgspec import Raw

from gateway.core.errors import UnsupportedByReplica
from gateway.core.field_tables import field_of
from gateway.core.fields import DIALECTS, Missing
from gateway.core.operation import Operation
from gateway.core.request import InferenceRequest

_USAGE = b'{"include_usage":true}'
_USAGE_EVERYWHERE = b'{"include_usage":true,"continuous_usage_stats":true}'
_MULTIPLE_SINCE = DIALECTS.index("1.2")
_REQUIRED = Raw(b'"required"')
_REQUIRED_TOOL_SINCE = DIALECTS.index("main")


def era(dialect: str) -> int:
    """Return the place of ``dialect`` in `DIALECTS`; an unknown one is taken for the newest."""
    return DIALECTS.index(dialect) if dialect in DIALECTS else len(DIALECTS) - 1


def needs(request: InferenceRequest) -> tuple[int, str | None]:
    """Return the oldest era that can serve ``request``, and the field that asks for it.

    `NEVER` (an era past the last) where no trtllm-serve can. No field, where it is the endpoint
    itself that is this young.
    """
    operation = request.operation
    oldest, name = DIALECTS.index(operation.since), None
    for key in request.fields:
        field = field_of(operation.name, key)
        if field is not None and field.missing is Missing.REFUSE and field.since > oldest:
            oldest, name = field.since, key
    if request.best_of > 1 and oldest < _MULTIPLE_SINCE:
        oldest, name = _MULTIPLE_SINCE, "n" if request.n > 1 else "best_of"
    required = request.fields.get("tool_choice") == _REQUIRED and operation.name == "chat"
    if required and oldest < _REQUIRED_TOOL_SINCE:
        oldest, name = _REQUIRED_TOOL_SINCE, "tool_choice"
    return oldest, name


def unsupported(
    request: InferenceRequest, field: str | None, dialects: list[str]
) -> UnsupportedByReplica:
    """Say that none of a model's replicas, of ``dialects``, does what is asked.

    ``field`` asks for it; None: the endpoint itself.
    """
    known = ", ".join(sorted(set(dialects)))
    asked = f'field "{field}"' if field is not None else request.operation.path
    return UnsupportedByReplica(
        f"{asked} asks for what this model's replicas (TensorRT-LLM {known}) lack", param=field
    )


def body_for(request: InferenceRequest, *, source: str, dialect: str) -> bytes:
    """Return the JSON body that a replica of ``dialect`` gets, with ``source`` as its model.

    The caller has checked `needs`. A stream always asks for its usage event: token counts are
    exact only from the engine, and the relay takes the event out again where the client did not
    want it. Empty for an operation without a body.
    """
    operation, place = request.operation, era(dialect)
    if operation.method != "POST":
        return b""
    accepted = {
        key: raw for key, raw in request.fields.items() if _accepts(operation, key, place)
    }
    edits = _edits(request, source, accepted)
    parts = [b'"%b":%b' % (key.encode(), raw) for key, raw in edits.items() if raw]
    for key, raw in accepted.items():
        if key not in edits:
            parts.append(b"%b:%b" % (msgspec.json.encode(key), raw))
    return b"{" + b",".join(parts) + b"}"


def _accepts(operation: Operation, name: str, place: int) -> bool:
    field = field_of(operation.name, name)
    return field is not None and field.since <= place


def _edits(
    request: InferenceRequest, source: str, accepted: Mapping[str, Raw]
) -> dict[str, bytes]:
    """Return the fields with another value than the client gave them; empty: without any."""
    operation, stored = request.operation, request.refers_to
    edits = {"model": msgspec.json.encode(source)}
    if request.max_tokens is not None:
        # One name only: chat refuses both at once.
        edits |= dict.fromkeys(operation.limits, b"")
        own = next((name for name in operation.limits if name in accepted), None)
        edits[own or operation.limits[-1]] = b"%d" % request.max_tokens
    if request.stream and operation.usage_on_request:
        edits["stream_options"] = _USAGE_EVERYWHERE if request.usage_everywhere else _USAGE
    if stored is not None:
        edits[operation.refers_by] = msgspec.json.encode(stored.upstream_id)
    return edits


def with_max_tokens(request: InferenceRequest, limit: int) -> InferenceRequest:
    """Return ``request`` with a limit where the client set none.

    Without one trtllm-serve reserves cache up to the model's whole context for each request.
    """
    if not request.operation.limits or request.max_tokens is not None:
        return request
    return replace(request, max_tokens=limit)
