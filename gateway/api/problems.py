"""Errors of the admin port, all as RFC 9457 problem details.

Rule: whatever goes wrong ends in `problem_response`; no traceback and no error body of the
framework ever reaches a client. https://www.rfc-editor.org/rfc/rfc9457
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.types import ExceptionHandlersMap

from gateway.core.errors import GatewayError
from gateway.fleet.errors import (
    BadUrl,
    FleetError,
    IdempotencyConflict,
    NotPossibleNow,
    PlanRefused,
    ReplicaLimit,
    UnknownLauncher,
    UnknownModel,
    UnknownOperation,
    UnknownReplica,
)

MEDIA_TYPE = "application/problem+json"
_LEFT = "client disconnected prematurely"
"""The framework's words for a client that left, or was given up, before its body was whole."""
_TYPE = "urn:trtgw:problem:{}"
_SERVER_ERROR = 500
_log = logging.getLogger(__name__)


class FieldError(msgspec.Struct, frozen=True):
    """One field of a request that is wrong."""

    field: str
    """Its name; dotted inside the body, plain for a header or a query parameter."""
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    code: str | None = None
    """For a refused plan: why, in one word."""
    nearest: str | None = None
    """For a refused plan: what would work."""


class BadRequest(Exception):  # noqa: N818 - names the condition
    """The request is wrong in a way that only the handler can see."""

    def __init__(self, field: str, message: str) -> None:
        """Name the field, header or parameter at fault."""
        super().__init__(f"{field}: {message}")
        self.errors = [FieldError(field, message)]


class NotAllowed(Exception):  # noqa: N818 - names the condition
    """The caller did not show that it may do this, or it may not be done now."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        """Carry 401, 403 or 409, a word for programs and a sentence for people."""
        super().__init__(detail)
        self.status = status
        self.slug = slug


_CONDITIONS: Mapping[type[FleetError], tuple[int, str, str | None]] = {
    UnknownReplica: (404, "unknown-replica", None),
    UnknownOperation: (404, "unknown-operation", None),
    UnknownModel: (404, "unknown-model", "model"),
    UnknownLauncher: (422, "unknown-launcher", "launcher"),
    PlanRefused: (422, "plan-refused", None),
    IdempotencyConflict: (422, "idempotency-conflict", "Idempotency-Key"),
    BadUrl: (422, "bad-url", "url"),
    ReplicaLimit: (409, "replica-limit", None),
    NotPossibleNow: (409, "not-possible-now", None),
}
"""Condition -> status, word, and the field at fault where the body has it."""


def problem_response(
    status: int,
    slug: str,
    detail: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[Problem]:
    """Render one problem; ``extra`` holds further members of `Problem`."""
    title = HTTPStatus(status).phrase
    problem = Problem(_TYPE.format(slug), title, status, detail, **(extra or {}))
    return Response(
        problem, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def as_problem(error: GatewayError) -> tuple[bytes, bytes]:
    """Return media type and body for a request that is refused before any route sees it."""
    status = HTTPStatus(error.status)
    slug = _TYPE.format(_slug(status))
    problem = Problem(slug, status.phrase, error.status, str(error))
    return MEDIA_TYPE.encode(), msgspec.json.encode(problem)


def _slug(status: HTTPStatus) -> str:
    return status.phrase.lower().replace(" ", "-")


def _on_fleet_error(request: Request[Any, Any, Any], error: FleetError) -> Response[Problem]:
    status, slug, field = _CONDITIONS.get(type(error), (409, "not-possible-now", None))
    extra: dict[str, Any] = {}
    if field is not None and not request.path_params:
        extra["errors"] = [FieldError(field, str(error))]
    detail = str(error)
    if isinstance(error, PlanRefused):
        detail = error.refusal.reason
        extra |= {"code": error.refusal.code, "nearest": error.refusal.nearest}
    return problem_response(status, slug, detail, extra=extra)


def _on_bad_request(_: Request[Any, Any, Any], error: BadRequest) -> Response[Problem]:
    return problem_response(400, "bad-request", str(error), extra={"errors": error.errors})


def _on_not_allowed(_: Request[Any, Any, Any], error: NotAllowed) -> Response[Problem]:
    headers = {"www-authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
    return problem_response(error.status, error.slug, str(error), headers=headers)


def _on_validation(
    request: Request[Any, Any, Any], error: ValidationException
) -> Response[Problem]:
    """Turn the framework's list of wrong fields into ours."""
    errors = [_field_error(item) for item in error.extra or [] if isinstance(item, dict)]
    if not errors:
        return _on_http(request, error)
    detail = "; ".join(f"{e.field}: {e.message}" for e in errors)
    return problem_response(400, "bad-request", detail, extra={"errors": errors})


def _field_error(item: Mapping[str, Any]) -> FieldError:
    message, key = str(item.get("message", "is wrong")), str(item.get("key") or "body")
    if message == "'data'":  # the framework's way to say that there is no body
        message = "is required: send a JSON object"
    return FieldError("body" if key == "data" else key, message.split(" - at `", maxsplit=1)[0])


def _on_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    status = error.status_code
    if isinstance(error.__cause__, SerializationException):
        return problem_response(400, "bad-request", f"the body is not JSON: {error.detail}")
    slug = _slug(HTTPStatus(status))
    if error.detail == _LEFT:  # nobody reads this answer
        return problem_response(400, "bad-request", _LEFT)
    if status >= _SERVER_ERROR:
        return _on_bug(request, error)
    path = request.url.path
    detail = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {path}; /openapi.json lists what there is",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible at {path}",
    }.get(HTTPStatus(status), error.detail or slug)
    return problem_response(status, slug, detail, headers=error.headers)


def _on_deep_nesting(_: Request[Any, Any, Any], __: RecursionError) -> Response[Problem]:
    return problem_response(400, "bad-request", "the body is nested too deeply")


def _on_bad_bytes(_: Request[Any, Any, Any], __: UnicodeDecodeError) -> Response[Problem]:
    return problem_response(400, "bad-request", "the body is not JSON: it is not UTF-8")


def _on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    _log.error("admin request failed: %s %s", request.method, request.url.path, exc_info=error)
    return problem_response(_SERVER_ERROR, "internal", "the gateway failed; see its log")


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    FleetError: _on_fleet_error,
    BadRequest: _on_bad_request,
    NotAllowed: _on_not_allowed,
    ValidationException: _on_validation,
    HTTPException: _on_http,
    RecursionError: _on_deep_nesting,
    UnicodeDecodeError: _on_bad_bytes,
    Exception: _on_bug,
}
