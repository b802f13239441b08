from gateway.telemetry.passthrough import PassThrough, Untraced
from tests.fakes.facts import attempt, streamed

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_untraced_gateway_has_no_trace_whatever_the_caller_sends():
    assert Untraced().begin([(b"traceparent", PARENT)], streamed()) is None


def test_a_trusted_context_passes_as_it_came():
    trace = PassThrough().begin([(b"traceparent", PARENT)], streamed())
    tried = trace.attempt(attempt())
    assert (tried.traceparent, tried.tracestate) == (PARENT, b"")
    tried.finish(attempt())
    assert trace.finish(streamed()) is None


def test_no_context_is_nothing_to_pass():
    assert PassThrough().begin([(b"host", b"x")], streamed()) is None
