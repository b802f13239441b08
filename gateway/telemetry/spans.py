"""What a finished request and its attempts say in their spans; pure.

Rule: an error status means that the gateway or a replica failed: not a client's own mistake,
and not a client that left. Attribute names of HTTP:
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from gateway.core.operation import OPERATIONS
from gateway.core.outcome import AttemptFacts, AttemptOutcome, Outcome, RequestFacts
from gateway.telemetry import genai
from gateway.telemetry.genai import AttributeValue

_ROUTES = {operation.name: (operation.method, operation.path) for operation in OPERATIONS}
_FAILED = frozenset({Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT, Outcome.STREAM_BROKEN})
_UNFAILED_ATTEMPTS = frozenset({AttemptOutcome.OK, AttemptOutcome.CANCELLED})
_CLIENT_LEFT = 499
_SERVER_ERROR = 500


def server_name(request: RequestFacts) -> str:
    """Return the name of a request's span: method and route."""
    return " ".join(_ROUTES[request.operation])


def server_error(request: RequestFacts) -> str | None:
    """Return ``error.type`` of a finished request; None if nobody but the client failed."""
    if request.outcome in _FAILED or request.code >= _SERVER_ERROR:
        return request.error_code or request.outcome.value
    return None


def server_attributes(request: RequestFacts) -> dict[str, AttributeValue]:
    """Return the attributes of a finished request's span; durations in seconds."""
    method, route = _ROUTES[request.operation]
    attributes: dict[str, AttributeValue] = {
        "http.request.method": method,
        "http.route": route,
        "url.path": route,  # of a stored response too: its id is the client's
        "trtgw.request_id": request.request_id,
        "trtgw.model": request.model,
        "trtgw.outcome": request.outcome.value,
        "trtgw.attempts": len(request.attempts),
        "trtgw.e2e": request.e2e_s,
        **genai.usage_attributes(request),
    }
    if request.code and request.code != _CLIENT_LEFT:
        attributes["http.response.status_code"] = request.code
    optional = {
        "trtgw.tenant": request.tenant,
        "trtgw.error_code": request.error_code,
        "trtgw.rejection": request.rejection,
        "trtgw.ttft": request.ttft_s,
        "trtgw.tpot": request.tpot_s,
        "trtgw.itl.max": max(request.gaps_s, default=None),
    }
    attributes.update({name: value for name, value in optional.items() if value is not None})
    return attributes


def client_error(attempt: AttemptFacts) -> str | None:
    """Return ``error.type`` of a finished attempt; None if it went well or the client left."""
    if attempt.outcome in _UNFAILED_ATTEMPTS:
        return None
    return attempt.error_code or attempt.outcome.value


def client_attributes(
    request: RequestFacts, attempt: AttemptFacts
) -> dict[str, AttributeValue]:
    """Return the attributes of a finished attempt's span."""
    attributes = genai.inference_attributes(request, attempt)
    attributes["server.address"] = attempt.host
    attributes["server.port"] = attempt.port
    attributes["trtgw.replica"] = attempt.replica
    attributes["trtgw.attempt"] = attempt.number
    attributes["trtgw.outcome"] = attempt.outcome.value
    if attempt.number > 1:
        attributes["http.request.resend_count"] = attempt.number - 1
    if attempt.connect_s is not None:
        attributes["trtgw.connect"] = attempt.connect_s
    return attributes
