"""A request that is not traced: an identity for its replica, and no span at all.

Without a context of ours the replica would start, and sample, a trace of its own.
"""

from random import Random

from gateway.core.outcome import AttemptFacts, RequestFacts
from gateway.telemetry.series import TraceMark
from gateway.telemetry.tracecontext import traceparent

_TRACE_BITS, _SPAN_BITS = 128, 64


class UnsampledTrace:
    """Stands for the span of a request."""

    __slots__ = ("_id", "_rng", "trace_id")

    def __init__(self, rng: Random) -> None:
        """Take an identity from ``rng``."""
        self._id = rng.getrandbits(_TRACE_BITS) or 1
        self.trace_id = f"{self._id:032x}"
        """32 hexadecimal digits."""
        self._rng = rng

    def attempt(self, facts: AttemptFacts) -> "UnsampledAttempt":  # noqa: ARG002 - protocol
        """Return a context with a span of its own and the sampled flag off."""
        span = self._rng.getrandbits(_SPAN_BITS) or 1
        return UnsampledAttempt(traceparent(self._id, span, 0))

    def finish(self, facts: RequestFacts) -> TraceMark | None:  # noqa: ARG002 - protocol
        """Export nothing."""
        return None


class UnsampledAttempt:
    """The context for one attempt."""

    __slots__ = ("traceparent",)
    tracestate = b""

    def __init__(self, traceparent: bytes) -> None:
        """Hold the header's value."""
        self.traceparent = traceparent

    def finish(self, facts: AttemptFacts) -> None:
        """Export nothing."""
