"""Tracers of a gateway that exports no spans."""

from dataclasses import dataclass

from gateway.core.outcome import AttemptFacts, RequestFacts
from gateway.telemetry.series import TraceMark
from gateway.telemetry.tracecontext import (
    Headers,
    TraceContext,
    read_trace_context,
    traceparent,
)


class Untraced:
    """Does nothing, at once: the caller's context is not trusted, so it ends here."""

    dropped = 0

    def begin(self, headers: Headers, facts: RequestFacts) -> None:
        """Trace nothing."""

    def close(self, *, timeout_s: float) -> None:
        """Return at once."""


class PassThrough:
    """Hands a trusted caller's context on to the replica, as a proxy that adds no span."""

    dropped = 0

    def begin(
        self,
        headers: Headers,
        facts: RequestFacts,  # noqa: ARG002 - protocol
    ) -> "PassedTrace | None":
        """Keep the caller's context, if it sent one."""
        context = read_trace_context(headers)
        return None if context is None else PassedTrace(context)

    def close(self, *, timeout_s: float) -> None:
        """Return at once."""


@dataclass(frozen=True, slots=True)
class PassedTrace:
    """A context on its way through; stands for the request and for each of its attempts."""

    context: TraceContext

    @property
    def trace_id(self) -> str:
        """The caller's."""
        return f"{self.context.trace_id:032x}"

    @property
    def traceparent(self) -> bytes:
        """The caller's, in the version that is written here."""
        context = self.context
        return traceparent(context.trace_id, context.span_id, context.flags)

    @property
    def tracestate(self) -> bytes:
        """The caller's, as it came."""
        return self.context.state

    def attempt(self, facts: AttemptFacts) -> "PassedAttempt":  # noqa: ARG002 - protocol
        """Return the caller's context."""
        return PassedAttempt(self.traceparent, self.tracestate)

    def finish(self, facts: RequestFacts) -> TraceMark | None:  # noqa: ARG002 - protocol
        """Export nothing."""
        return None


@dataclass(frozen=True, slots=True)
class PassedAttempt:
    """The headers for one attempt."""

    traceparent: bytes
    tracestate: bytes

    def finish(self, facts: AttemptFacts) -> None:
        """Export nothing."""
