import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.tracecontext import TraceContext, read_trace_context, traceparent

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


@settings(deadline=None)
@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_what_is_written_reads_back(trace_id, span_id, flags):
    header = traceparent(trace_id, span_id, flags)
    context = read_trace_context([(b"traceparent", header)])
    assert context == TraceContext(trace_id, span_id, flags)


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_break_the_reader(value):
    read_trace_context([(b"traceparent", value), (b"tracestate", value)])


def test_the_states_of_several_headers_are_joined_in_order():
    headers = [
        (b"tracestate", b"a=1"), (b"traceparent", b"00-%b-%b-01" % (TRACE, SPAN)),
        (b"host", b"x"), (b"tracestate", b"b=2,c=3"),
    ]  # fmt: skip
    assert read_trace_context(headers).state == b"a=1,b=2,c=3"


def test_a_state_past_the_limit_is_left_out_and_the_parent_stays():
    parent = (b"traceparent", b"00-%b-%b-01" % (TRACE, SPAN))
    context = read_trace_context([parent, (b"tracestate", b"a=" + b"x" * 600)])
    assert (context.span_id, context.state) == (int(SPAN, 16), b"")


def test_a_later_version_may_carry_more_fields():
    header = b"01-%b-%b-01-more" % (TRACE, SPAN)
    assert read_trace_context([(b"traceparent", header)]).trace_id == int(TRACE, 16)


@pytest.mark.parametrize(
    "header",
    [
        b"", b"00", b"00-%b-%b" % (TRACE, SPAN), b"ff-%b-%b-01" % (TRACE, SPAN),
        b"00-%b-%b-01" % (b"0" * 32, SPAN), b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01-more" % (TRACE, SPAN), b"00-%b-%b-01" % (TRACE.upper(), SPAN),
        b"00-%b-%b-01\n00" % (TRACE, SPAN),
    ],
)  # fmt: skip
def test_a_header_that_breaks_the_format_is_as_good_as_none(header):
    assert read_trace_context([(b"traceparent", header)]) is None


def test_two_parents_are_as_good_as_none():
    parent = (b"traceparent", b"00-%b-%b-01" % (TRACE, SPAN))
    assert read_trace_context([parent, parent]) is None
