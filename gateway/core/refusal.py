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
from gateway.core.operation import Operation

_TOO_LONG = (
    re.compile(r"prompt length \(([\d.]+)\).*max_num_tokens \(([\d.]+)\)"),
    re.compile(r"default_max_tokens.*max_seq_len \(([\d.]+)\)"),
    re.compile(r"max_seq_len|max_input_len|context length|too long", re.IGNORECASE),
)
_FIELD = re.compile(
    r"""['"]loc['"]: [(\[]['"]body['"], ['"](\w+)['"]|Extra inputs.*?['"](\w+)['"]"""
)
_NOT_SUPPORTED = re.compile(
    r"not supported|only .* are supported|only supports|is not enabled|storage is disabled"
    r"|^`dimensions` ",
    re.IGNORECASE,
)
_NOT_STORED = re.compile(r"^(?:Response with id '|Invalid 'response_id')")
_CLIENTS = re.compile(
    r"validation error|Input should be|Field required|invalid (?:value|grammar|regex|json)"
    r"|require \S+ .*, got |exceed max_batch_size|unknown part type|\btemplate\b|\btools?\b"
    r"|^No call message found|^Unknown input type"
    r"|\b(?:prompt|token ids|n|best_of|logprobs|max_tokens|temperature|top_[kp]|seed)"
    r" (?:must|should) (?:not )?be ",
    re.IGNORECASE,
)
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
    if lacks_route(status, body):
        return RouteMissing(
            f"the model's replicas do not serve {operation.method} {operation.path}"
        )
    if status == _BUSY:
        return ReplicaBusy(
            "the model's replica has too much to do", retry_after_s=_RETRY_AFTER_S
        )
    if status not in _MAY_BE_THE_CLIENTS:
        return UpstreamError(f"the replica answered with HTTP status {status}")
    message = message_of(body)[:_LONGEST_MESSAGE]
    if _NOT_STORED.search(message):
        return ResponseNotFound(
            "the model's replica does not keep this response, or no longer",
            param=operation.refers_by or None,
        )
    return _spoken_of(message)


def _spoken_of(message: str) -> GatewayError:
    if any(pattern.search(message) for pattern in _TOO_LONG):
        return ContextLengthExceeded(_context_message(message))
    found = _FIELD.search(message)
    field = next((group for group in found.groups() if group), None) if found else None
    if field is not None:
        return InvalidRequest(
            f'the model\'s replica does not accept this "{field}"', param=field
        )
    if _NOT_SUPPORTED.search(message):
        return UnsupportedByReplica(
            "the model's replica does not support what this request asks"
        )
    if _CLIENTS.search(message):
        return InvalidRequest("the model's replica found a value of this request not valid")
    return UpstreamError("the replica failed on this request")


def _context_message(message: str) -> str:
    for pattern in _TOO_LONG[:2]:
        found = pattern.search(message)
        if found:
            limit = found.groups()[-1].removesuffix(".0")
            return f"the prompt is too long: this model's replica takes up to {limit} tokens"
    return "the prompt and the answer asked for are longer than this model's context"
