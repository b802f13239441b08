"""Turn a replica's error reply into one of ours.

trtllm-serve reports almost everything as 400, its own faults included, in three shapes: flat
``{"object": "error", "message": ...}``, ``{"error": "<text>"}`` and FastAPI's ``{"detail":
...}``. Rule: only a message known to speak of the request is the client's fault; every other
400 is a fault of the replica and may be tried elsewhere. A replica's raw text never reaches the
client.
"""

import re

import msgspec

from gateway.core.errors import (
    ContextLengthExceeded,
    GatewayError,
    InvalidRequest,
    ReplicaBusy,
    ResponseNotFound,
    RouteMissing,
    UnsupportedByReplica,
    UpstreamError,
)
from gateway.core.field_tables import FIELDS
from gateway.core.operation import Operation

_VIOLATION = re.compile(
    r"""
    (?:\[|\d+\ validation\ errors?:\s*)           # a list of errors, as either FastAPI shows it
    \{(?:'type':\ '(?P<kind>\w+)')?[^}]{0,80}?
    'loc':\ [(\[]'body',?\ ?(?:'(?P<field>\w+)')?(?P<deeper>,)?
    (?:.*?'msg':\ (?P<quote>['"])(?P<said>.*?)(?P=quote)(?:,\ '|\}))?
    """,
    re.VERBOSE | re.DOTALL,
)
"""A body that does not fit the schema. What comes after is the client's own text."""
_TOO_LONG = (
    re.compile(r"prompt length \([\d.]+\).*max_num_tokens \(([\d.]+)\)"),
    re.compile(r"default_max_tokens.*max_seq_len \(([\d.]+)\)"),
    re.compile(r"prompt length \([\d.]+\) exceeds .*input length \(([\d.]+)\)", re.IGNORECASE),
    re.compile(r"(?:prompt|input|context)\b.{0,40} (?:is )?too long()", re.IGNORECASE),
    re.compile(
        r"(?:exceeds?|longer than|larger than) .{0,40}"
        r"(?:max_seq_len|max_input_len|context (?:length|window))()",
        re.IGNORECASE,
    ),
)
"""Each with a group for the limit, empty if it is not said."""
_UNSUPPORTED = re.compile(
    r"\bnot supported|\bonly .* are supported|\bonly supports"
    r"|\bis not (?:enabled|allowed|simulated)|storage is disabled|^`dimensions` ",
    re.IGNORECASE,
)
_CLIENTS = re.compile(
    r"validation error|Input should be|Field required|error parsing the body"
    r"|invalid (?:value|grammar|regex|json)|require \S+ .*, got |exceed max_batch_size"
    r"|unknown part type|chat.template|roles must alternate"
    r"|named tools|provided tools|`tools` must|^No call message found|^Unknown input type"
    r"|\b(?:prompt|token ids|n|best_of|logprobs|max_tokens|temperature|top_[kp]|seed)"
    r" (?:must|should) (?:not )?be ",
    re.IGNORECASE,
)
_SPOKEN_OF = (
    (re.compile(r"multiple response|exceed max_batch_size", re.IGNORECASE), "n"),
    (re.compile(r"guided decoding|grammar|regex", re.IGNORECASE), "response_format"),
    (re.compile(r"named tools|provided tools", re.IGNORECASE), "tool_choice"),
    (re.compile(r"part type|chat template|roles must", re.IGNORECASE), "messages"),
    (re.compile(r"stream.options", re.IGNORECASE), "stream_options"),
    (re.compile(r"^No call message|^Unknown input"), "input"),
    (re.compile(r"storage is disabled"), "previous_response_id"),
    (re.compile(r"require (\w+)|(\w+) (?:must|should) (?:not )?be ", re.IGNORECASE), None),
    (re.compile(r"`?(\w+)`?,? (?:is not |in the request is not |`tools`)"), None),
)
"""What shows which field a message speaks of: named by a group where none is named here."""
_OURS = frozenset({"cache_salt"})
"""Set by the gateway alone: where a release refuses it, the client is not to blame."""
_NOT_STORED = re.compile(r"^(?:Response with id '|Invalid 'response_id')")
_NO_ROUTE = {404: "Not Found", 405: "Method Not Allowed"}
"""What FastAPI says where there is no such path, or not with this method."""
_BUSY = 429
_RETRY_AFTER_S = 1.0
_MAY_BE_THE_CLIENTS = frozenset({400, 404, 413, 422})
_LONGEST_MESSAGE = 2048
"""Replicas repeat what the client sent, at any length; what is wrong is said before that."""


def message_of(body: bytes) -> str:
    """Return the message of any of the error shapes; empty where there is none."""
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(reply, dict):
        return ""
    error = reply.get("error", reply.get("detail", reply.get("message", "")))
    if isinstance(error, dict):
        error = error.get("message", "")
    return error if isinstance(error, str) else str(error)


def lacks_route(status: int, body: bytes) -> bool:
    """Say whether a reply means that this replica has no such endpoint at all."""
    return status in _NO_ROUTE and message_of(body) == _NO_ROUTE[status]


def refusal(status: int, body: bytes, operation: Operation) -> GatewayError:
    """Return the error that a reply of ``status`` (not 200) to ``operation`` stands for."""
    if status == _BUSY:
        return ReplicaBusy(
            "the model's replica has too much to do", retry_after_s=_RETRY_AFTER_S
        )
    if lacks_route(status, body):
        return RouteMissing(
            f"the model's replicas do not serve {operation.method} {operation.path}"
        )
    if status not in _MAY_BE_THE_CLIENTS:
        return UpstreamError(f"the replica answered with HTTP status {status}")
    return _read(message_of(body)[:_LONGEST_MESSAGE], operation)


def _read(message: str, operation: Operation) -> GatewayError:
    violation = _VIOLATION.match(message)
    if violation is not None:
        said = (violation["said"] or "").removeprefix("Value error, ")
        return _violated(violation, said, operation)
    if _NOT_STORED.search(message):
        return ResponseNotFound(
            "the model's replica does not keep this response, or no longer",
            param=operation.refers_by or None,
        )
    for pattern in _TOO_LONG:
        found = pattern.search(message)
        if found:
            return _too_long(found[1])
    if _UNSUPPORTED.search(message) or _CLIENTS.search(message):
        return _refused(message, operation)
    return UpstreamError("the replica failed on this request")


def _violated(violation: re.Match[str], said: str, operation: Operation) -> GatewayError:
    field = violation["field"]
    if field is None:
        return _refused(said, operation)
    if field in _OURS:
        return UpstreamError(f'the replica does not know the field "{field}"')
    known = field in FIELDS.get(operation.name, ())
    if known and violation["kind"] == "extra_forbidden" and not violation["deeper"]:
        return UnsupportedByReplica(
            f'the model\'s replica does not know the field "{field}"', param=field
        )
    return InvalidRequest(f'the model\'s replica does not accept this "{field}"', param=field)


def _refused(said: str, operation: Operation) -> GatewayError:
    param = _field_of(said, operation)
    if _UNSUPPORTED.search(said):
        return UnsupportedByReplica(
            "the model's replica does not support what this request asks", param=param
        )
    return InvalidRequest(
        "the model's replica found a value of this request not valid", param=param
    )


def _field_of(said: str, operation: Operation) -> str | None:
    for pattern, name in _SPOKEN_OF:
        found = pattern.search(said)
        if found:
            field = name or next(filter(None, found.groups())).lower()
            return field if field in FIELDS.get(operation.name, ()) else None
    return None


def _too_long(limit: str) -> ContextLengthExceeded:
    if limit:
        tokens = limit.removesuffix(".0")
        return ContextLengthExceeded(
            f"the prompt is too long: this model's replica takes up to {tokens} tokens"
        )
    return ContextLengthExceeded(
        "the prompt and the answer asked for are longer than this model's context"
    )
