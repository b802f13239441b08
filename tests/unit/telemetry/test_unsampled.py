from random import Random

import pytest

from gateway.telemetry.tracecontext import read_trace_context
from gateway.telemetry.unsampled import UnsampledTrace
from tests.fakes.facts import attempt, streamed


class Zero(Random):
    """The one number that is no identity."""

    def getrandbits(self, k):  # noqa: ARG002 - the parent's
        return 0


def contexts(trace, attempts):
    made = [trace.attempt(attempt(number)) for number in range(1, attempts + 1)]
    assert {each.tracestate for each in made} == {b""}
    return [read_trace_context([(b"traceparent", each.traceparent)]) for each in made]


@pytest.mark.parametrize("rng", [Random(7), Random(8), Zero()])
def test_each_attempt_gets_the_identity_that_the_log_line_names_and_no_sampled_flag(rng):
    trace = UnsampledTrace(rng)
    (context,) = contexts(trace, 1)
    assert f"{context.trace_id:032x}" == trace.trace_id
    assert context.flags == 0


def test_attempts_differ_in_their_span_and_requests_in_their_trace():
    rng = Random(7)
    trace = UnsampledTrace(rng)
    first, second = contexts(trace, 2)
    assert first.span_id != second.span_id
    assert first.trace_id == second.trace_id
    assert UnsampledTrace(rng).trace_id != trace.trace_id


def test_nothing_is_exported_of_it():
    trace = UnsampledTrace(Random(7))
    assert trace.attempt(attempt()).finish(attempt()) is None
    assert trace.finish(streamed()) is None
