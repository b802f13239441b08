"""Shape a request for the trtllm-serve that it goes to.

Rule: whatever is changed is changed here, from the tables in `core.field_tables`; the rest of
the body goes out as the bytes that came in.
"""

import msgspec
from msgspec import Raw

from gateway.core.errors import UnsupportedByReplica
from gateway.core.field_tables import ACCEPTED, field_of
from gateway.core.fields import DIALECTS, Missing
from gateway.core.operation import CHAT, Operation
from gateway.core.request import InferenceRequest
from gateway.core.splice import UNCHANGED, Edits, splice

_USAGE = b'{"include_usage":true}'
_COUNTS = b'{"include_usage":true,"continuous_usage_stats":true}'
_ASKS = (Raw(_USAGE), Raw(b'{"include_usage": true}'))
"""What most clients send."""
_OPTIONS = msgspec.json.Decoder(dict[str, Raw])
_CONTINUOUS = "continuous_usage_stats"
_OPTION_NAMES = frozenset({"include_usage", _CONTINUOUS})
_ERAS = {dialect: place for place, dialect in enumerate(DIALECTS)}
_MULTIPLE_SINCE = DIALECTS.index("1.2")
_REQUIRED = Raw(b'"required"')
_REQUIRED_TOOL_SINCE = DIALECTS.index("main")
_SALT_SINCE = DIALECTS.index("1.1")


def era(dialect: str) -> int:
    """Return the place of ``dialect`` in `DIALECTS`; an unknown one is taken for the newest."""
    return _ERAS.get(dialect, len(DIALECTS) - 1)


def needs(request: InferenceRequest) -> tuple[int, str | None]:
    """Return the oldest era that can serve ``request``, and the field that asks for it.

    `NEVER` (an era past the last) where no trtllm-serve can. No field, where it is the endpoint
    itself that is this young.
    """
    operation = request.operation
    oldest, name = _ERAS[operation.since], None
    if not request.common:
        for key in request.fields:
            field = field_of(operation.name, key)
            if field is not None and field.missing is Missing.REFUSE and field.since > oldest:
                oldest, name = field.since, key
    if request.best_of > 1 and oldest < _MULTIPLE_SINCE:
        oldest, name = _MULTIPLE_SINCE, "n" if request.n > 1 else "best_of"
    required = operation is CHAT and request.fields.get("tool_choice") == _REQUIRED
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


def body_for(
    request: InferenceRequest, *, source: str, dialect: str, changed: Edits = UNCHANGED
) -> tuple[bytes | memoryview, ...]:
    """Return the JSON body that a replica of ``dialect`` gets, in pieces.

    The caller has checked `needs`. What is changed:

    * ``model`` is the replica's own name, ``source``.
    * What its trtllm-serve would refuse and the answer does not depend on is left out.
    * A stream always asks for its usage event: token counts are exact only from the engine, and
      the relay takes the event out again where the client did not want it.
    * A limit of tokens has one name, where the client set one or the configuration does.
    * The cache is asked to keep tenants apart, where it can.
    * A stored response that it goes on from has the replica's own id.
    * Whatever is in ``changed``.

    Where nothing is changed, the body itself is the only piece; without a body there is none.
    """
    operation, place, body = request.operation, era(dialect), request.body
    if not body.data:
        return ()
    edits: dict[str, bytes | None] = dict.fromkeys(request.unsent)
    edits.update(changed)
    inserted: list[bytes] = []
    if not (request.common or ACCEPTED[operation.name][place].issuperset(body.fields)):
        edits.update((n, None) for n in body.fields if not _accepts(operation, n, place))
    if request.model != source or body.count("model") > 1:
        edits["model"] = msgspec.json.encode(source)
    if operation.limits:
        _limit_tokens(request, place, edits, inserted)
    if request.refers_to is not None:
        edits[operation.refers_by] = msgspec.json.encode(request.refers_to.upstream_id)
    if request.stream and operation.usage_on_request:
        _ask_for_usage(request, edits, inserted)
    if request.cache_salt is not None and operation is CHAT and place >= _SALT_SINCE:
        inserted.append(b'"cache_salt":"%b"' % request.cache_salt.encode())
    return splice(body, edits, inserted)


def _accepts(operation: Operation, name: str, place: int) -> bool:
    field = field_of(operation.name, name)
    return field is not None and field.since <= place


def _limit_tokens(
    request: InferenceRequest,
    place: int,
    edits: dict[str, bytes | None],
    inserted: list[bytes],
) -> None:
    sent, given, limits = request.body.fields, request.fields, request.operation.limits
    most, usual = request.max_tokens, limits[-1]
    if limits[0] not in sent and (most is None or usual in given):
        return
    # Chat takes either name, but not both at once; completions knows just one.
    names = [name for name in limits if name in sent]
    own = next((name for name in names if name in given), None)
    if own is None and most is not None:
        edits.update(dict.fromkeys(names))
        inserted.append(b'"%b":%d' % (usual.encode(), most))
        return
    stays = own or (names[-1] if names else usual)
    edits.update((name, None) for name in names if name != stays)
    if own is not None and not _accepts(request.operation, own, place):
        inserted.append(b'"%b":%b' % (usual.encode(), given[own]))


def _ask_for_usage(
    request: InferenceRequest, edits: dict[str, bytes | None], inserted: list[bytes]
) -> None:
    raw = request.fields.get("stream_options")
    if request.counted:
        edits.update(dict.fromkeys({"stream_options"} & request.body.fields.keys()))
        inserted.append(b'"stream_options":' + _COUNTS)
        return
    if raw is None:
        if "stream_options" in request.body.fields:
            edits["stream_options"] = _USAGE
        else:
            inserted.append(b'"stream_options":' + _USAGE)
        return
    if raw in _ASKS:
        return
    options = _OPTIONS.decode(raw)
    if not request.usage_wanted or not options.keys() <= _OPTION_NAMES:
        # To trtllm-serve running counts are a part of the others: without those there are none.
        running = request.usage_wanted and _CONTINUOUS in options
        kept = {_CONTINUOUS: options[_CONTINUOUS]} if running else {}
        edits["stream_options"] = msgspec.json.encode({"include_usage": True, **kept})


def with_max_tokens(request: InferenceRequest, limit: int) -> InferenceRequest:
    """Return ``request`` with a limit where the client set none.

    Without one trtllm-serve reserves cache up to the model's whole context for each request.
    """
    if not request.operation.limits or request.max_tokens is not None:
        return request
    return msgspec.structs.replace(request, max_tokens=limit)
