"""What a client is told whose request no application sees.

Rule: each port shows errors in its one shape, so that a client never meets a second one.
"""

import logging
from collections.abc import Callable, Iterable

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.core.error_shapes import body_of
from gateway.core.errors import (
    GatewayError,
    GatewayInternal,
    InvalidRequest,
    RequestTimeout,
)
from gateway.core.operation import ErrorShape

Show = Callable[[GatewayError], tuple[bytes, bytes]]
"""Gives media type and body of an error."""
_LOG = logging.getLogger(__name__)


def as_openai(error: GatewayError) -> tuple[bytes, bytes]:
    """Show an error as the data port does."""
    return b"application/json", body_of(error, ErrorShape.CHUNK)


def whole_answer(
    error: GatewayError,
    show: Show,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    bare: bool,
) -> bytes:
    """Return the bytes of a connection's last answer; without a body if it must be ``bare``."""
    kind, body = show(error)
    lines = [
        *headers,
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if not error.client_may_retry:
        lines.append((b"x-should-retry", b"false"))
    head = STATUS_LINE[error.status] + b"".join(b"%b: %b\r\n" % each for each in lines)
    return head + b"\r\n" + (b"" if bare else body)


def reason(problem: httptools.HttpParserError) -> GatewayError:
    """Return what the parser's callbacks raised, or what the parser itself found."""
    cause = problem.__context__
    if isinstance(cause, GatewayError):
        return cause
    if isinstance(problem, httptools.HttpParserCallbackError):
        _LOG.error("a request failed as it was read", exc_info=cause)
        return GatewayInternal("the gateway failed on this request")
    return InvalidRequest(f"this is not valid HTTP/1.1: {problem}")


def too_slow(part: str, seconds: float) -> RequestTimeout:
    """Return what becomes of a request of which ``part`` took longer than it may."""
    return RequestTimeout(f"the request's {part} did not come within {round(seconds, 1):g} s")
