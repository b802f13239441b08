"""Failures that a client can see: who is at fault, what to do, and whether to try again.

Rule: a class fixes status, code and outcome, so that one condition never shows itself in two
shapes. Codes and types: interfaces, "Data port".
"""

from enum import StrEnum
from typing import ClassVar, Self

from gateway.core.outcome import AttemptOutcome, Outcome


class Source(StrEnum):
    """Who caused the failure."""

    CLIENT = "client"
    REPLICA = "replica"
    GATEWAY = "gateway"


class GatewayError(Exception):
    """Base of every failure that reaches a client; the data plane renders it once."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "gateway_internal"
    source: ClassVar[Source] = Source.GATEWAY
    outcome: ClassVar[Outcome] = Outcome.UPSTREAM_ERROR
    retryable: ClassVar[bool] = False
    """Whether another replica may be tried, provided that no content has reached the client."""
    client_may_retry: ClassVar[bool] = True
    """False sends ``x-should-retry: false``: the SDKs' own retries would only do harm."""
    attempt_outcome: ClassVar[AttemptOutcome] = AttemptOutcome.BROKEN
    rejection: ClassVar[str | None] = None

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        """Carry a message for people, the field at fault, and when to come back (seconds)."""
        super().__init__(message)
        self.param = param
        self.retry_after_s = retry_after_s

    def because(self, reason: str) -> Self:
        """Return the same failure with ``reason`` after its message."""
        message = f"{self}; {reason}"
        return type(self)(message, param=self.param, retry_after_s=self.retry_after_s)


class GatewayInternal(GatewayError):  # noqa: N818 - names the condition, as all below
    """Something in the gateway itself broke."""

    client_may_retry = False


class InvalidRequest(GatewayError):  # noqa: N818
    """The client's request is wrong in itself."""

    status = 400
    code = "invalid_request"
    source = Source.CLIENT
    outcome = Outcome.CLIENT_ERROR
    attempt_outcome = AttemptOutcome.HTTP_4XX


class UnsupportedByReplica(InvalidRequest):
    """The request asks for something that no replica of this model can do."""

    code = "unsupported_by_replica"


class RouteMissing(UnsupportedByReplica):
    """A replica lacks the endpoint: it is of a release, or was started for a task, without it.

    Another one may have it.
    """

    retryable = True


class ContextLengthExceeded(InvalidRequest):
    """Prompt and answer do not fit the model's context."""

    code = "context_length_exceeded"


class InvalidApiKey(InvalidRequest):
    """No key, or one that is not known."""

    status = 401
    code = "invalid_api_key"


class PermissionDenied(InvalidRequest):
    """The key may not do this."""

    status = 403
    code = "permission_denied"


class ModelNotFound(InvalidRequest):
    """No model of that name is configured."""

    status = 404
    code = "model_not_found"


class RouteNotFound(InvalidRequest):
    """There is nothing at that path."""

    status = 404
    code = "not_found"


class ResponseNotFound(InvalidRequest):
    """No such response is stored, or no longer, or it is not this key's."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """The path exists, with another method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, path: str, method: str, *, allow: str) -> None:
        """Say which methods, as the ``Allow`` header lists them, the path takes."""
        super().__init__(f"{path} takes {allow}, not {method}")
        self.allow = allow


class RequestTooLarge(InvalidRequest):
    """The body is over the model's limit."""

    status = 413
    code = "request_too_large"


class HeadTooLarge(RequestTooLarge):
    """The request's head is over a limit of the port."""

    status = 431
    code = "request_head_too_large"


class RequestTimeout(InvalidRequest):
    """The request did not come whole in the time allowed.

    OpenAI's SDKs would send it again three times, as slowly.
    """

    status = 408
    code = "request_timeout"
    client_may_retry = False


class UpstreamError(GatewayError):
    """A replica answered with a failure of its own."""

    status = 502
    code = "upstream_error"
    source = Source.REPLICA
    retryable = True
    client_may_retry = False
    attempt_outcome = AttemptOutcome.HTTP_5XX


class ReplicaBusy(UpstreamError):  # noqa: N818
    """A replica has a queue of its own, and that is full: others may have room."""

    status = 503
    code = "server_overloaded"
    client_may_retry = True
    attempt_outcome = AttemptOutcome.HTTP_4XX


class Quarantined(GatewayError):  # noqa: N818
    """Replicas died of this very request: it is sent to no more of them for a while."""

    status = 502
    code = "request_quarantined"
    outcome = Outcome.REJECTED
    client_may_retry = False
    rejection = "quarantined"


class UpstreamConnectFailed(UpstreamError):  # noqa: N818
    """No connection to the replica could be made; it never saw the request."""

    attempt_outcome = AttemptOutcome.CONNECT_ERROR


class UpstreamUnresolved(UpstreamConnectFailed):
    """The replica's host has no address: the name service's fault, not the replica's."""


class UpstreamDisconnected(UpstreamError):  # noqa: N818
    """The replica's answer ended before it was complete."""

    code = "upstream_disconnected"
    attempt_outcome = AttemptOutcome.BROKEN


class UpstreamProtocolError(UpstreamError):
    """The replica sent something that is no answer to this request."""

    code = "upstream_protocol_error"
    attempt_outcome = AttemptOutcome.BROKEN


class UpstreamTimeout(UpstreamError):  # noqa: N818
    """The replica sent no token in the time allowed."""

    status = 504
    code = "upstream_timeout"
    outcome = Outcome.TIMEOUT
    attempt_outcome = AttemptOutcome.TIMEOUT_FIRST_BYTE


class DeadlineExceeded(UpstreamTimeout):
    """The whole request took too long: there is no time left to try another replica."""

    retryable = False


class ClientDeadlinePassed(DeadlineExceeded):
    """The client would not have waited longer; that says nothing of the replica."""

    source = Source.GATEWAY  # which gave up on the client's behalf
    attempt_outcome = AttemptOutcome.CANCELLED


class UpstreamStalled(UpstreamError):  # noqa: N818
    """The replica began to answer and then fell silent."""

    status = 504
    code = "upstream_stalled"
    outcome = Outcome.TIMEOUT
    attempt_outcome = AttemptOutcome.TIMEOUT_IDLE


class AnswerTooLong(UpstreamStalled):
    """The replica sent tokens as it should, for longer than a request may take."""


class Overloaded(GatewayError):  # noqa: N818
    """Load was shed before any replica was picked."""

    status = 503
    code = "server_overloaded"
    outcome = Outcome.REJECTED
    rejection = "queue_full"


class QueueTimeout(Overloaded):
    """It waited, or would have waited, longer than it may."""

    rejection = "queue_timeout"


class ModelLoading(Overloaded):
    """The model's replicas are on their way, none is ready."""

    code = "model_loading"
    rejection = "no_replica"


class NoReplica(Overloaded):
    """No replica of the model can take a request now."""

    code = "no_replica"
    rejection = "no_replica"


class ShuttingDown(GatewayError):  # noqa: N818
    """This gateway is about to end."""

    status = 503
    code = "server_shutting_down"
    outcome = Outcome.SHUTDOWN
    rejection = "draining"
