"""Read and write the W3C trace context headers: https://www.w3.org/TR/trace-context/#traceparent-header.

Rule: a header that breaks the format is as good as none; a request never fails because of its
trace context.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

Headers = Iterable[tuple[bytes, bytes]]
"""Name, lower case, and value."""

_TRACEPARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})"
    rb"-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
_MAX_STATE_BYTES = 512
"""What the standard wants forwarded at least; a longer ``tracestate`` is left out whole."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The caller's span, as its headers name it."""

    trace_id: int
    span_id: int
    flags: int
    state: bytes = b""
    """``tracestate``, as it came."""


def read_trace_context(headers: Headers) -> TraceContext | None:
    """Return the trace context in ``headers``; None where there is none that is valid."""
    parents = []
    states = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            states.append(value)
    if len(parents) != 1:
        return None
    match = _TRACEPARENT.fullmatch(parents[0].strip())
    if match is None or (match["version"] == b"00" and match["rest"]):
        return None
    state = b",".join(states)
    return TraceContext(
        trace_id=int(match["trace"], 16),
        span_id=int(match["span"], 16),
        flags=int(match["flags"], 16),
        state=state if len(state) <= _MAX_STATE_BYTES else b"",
    )


def traceparent(trace_id: int, span_id: int, flags: int) -> bytes:
    """Write the header value for a span."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, flags)
