"""Render a failure so that the clients of each kind of request understand it.

All shapes hold the same ``error`` object, so that one reader understands all.
Rule: in a stream the event makes every SDK raise, and none takes the answer for whole:

* chunks: a bare ``data:`` event; OpenAI's clients look for ``error`` in it.
* Responses API: OpenAI's own ``error`` event has no ``error`` object, and openai-python takes
  it for one more event of a stream that then ends well. So both are in it.
* Messages API: Anthropic's ``error`` event, which its clients know by the event's name.
"""

from collections.abc import Callable, Mapping

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.operation import ErrorShape

_MESSAGE_TYPES = {404: "not_found_error", 413: "request_too_large", 503: "overloaded_error"}
"""Where Anthropic calls a status otherwise than OpenAI."""
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FIRST_SERVER_ERROR = 500


def error_type(status: int) -> str:
    """Return OpenAI's ``type`` for a status."""
    default = "server_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error"
    return _TYPES.get(status, default)


def body_of(error: GatewayError, shape: ErrorShape) -> bytes:
    """Return the JSON body of a reply that tells of ``error``."""
    return _BODIES[shape](error)


def event_of(error: GatewayError, shape: ErrorShape, number: int = 0) -> bytes:
    """Return the last event of a stream that broke off; nothing may follow it.

    ``number`` is its ``sequence_number``, in shapes that have one.
    """
    return _EVENTS[shape](error, number)


def _described(error: GatewayError) -> dict[str, str | None]:
    return {
        "message": str(error),
        "type": error_type(error.status),
        "param": error.param,
        "code": error.code,
    }


def _chunk_body(error: GatewayError) -> bytes:
    return msgspec.json.encode({"error": _described(error)})


def _chunk_event(error: GatewayError, _: int) -> bytes:
    # No ``[DONE]`` follows: a reader that knows only that mark must not take it for success.
    return b"data: " + _chunk_body(error) + b"\n\n"


def _typed_event(error: GatewayError, number: int) -> bytes:
    inner = _described(error)
    flat = {name: inner[name] for name in ("code", "message", "param")}
    return _event({"type": "error", **flat, "sequence_number": number, "error": inner})


def _message_body(error: GatewayError) -> bytes:
    return msgspec.json.encode(_message(error))


def _message_event(error: GatewayError, _: int) -> bytes:
    return _event(_message(error))


def _message(error: GatewayError) -> dict[str, object]:
    inner = _described(error)
    if error.status >= _FIRST_SERVER_ERROR:
        inner["type"] = "api_error"
    inner["type"] = _MESSAGE_TYPES.get(error.status, inner["type"])
    return {"type": "error", "error": inner}


def _event(body: dict[str, object]) -> bytes:
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(body)


_BODIES: Mapping[ErrorShape, Callable[[GatewayError], bytes]] = {
    ErrorShape.CHUNK: _chunk_body,
    ErrorShape.TYPED: _chunk_body,
    ErrorShape.MESSAGE: _message_body,
}
_EVENTS: Mapping[ErrorShape, Callable[[GatewayError, int], bytes]] = {
    ErrorShape.CHUNK: _chunk_event,
    ErrorShape.TYPED: _typed_event,
    ErrorShape.MESSAGE: _message_event,
}
