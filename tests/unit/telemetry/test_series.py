import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.catalogue import Family, Kind
from gateway.telemetry.series import Exemplar, Histogram, Registry, UnreadableDump, read_dump

EDGES = (0.01, 0.1, 1.0)
values = st.lists(st.floats(0, 10))

REQUESTS = Family("trtgw_r_total", Kind.COUNTER, "", ("model", "code"), "R.")
WAITS = Family("trtgw_w_seconds", Kind.HISTOGRAM, "seconds", ("model",), "W.", EDGES)
LAG = Family("trtgw_l_seconds", Kind.HISTOGRAM, "seconds", (), "L.", EDGES)


def histogram_of(observed):
    histogram = Histogram(EDGES)
    for value in observed:
        histogram.observe(value)
    return histogram


@settings(deadline=None)
@given(values)
def test_a_bucket_counts_the_values_above_the_edge_before_it_up_to_its_own(observed):
    counts = histogram_of(observed).counts
    for lower, upper, count in zip((-1, *EDGES), (*EDGES, 11), counts, strict=True):
        assert count == sum(lower < value <= upper for value in observed)


@settings(deadline=None)
@given(values, st.integers())
def test_neither_order_nor_counting_many_at_once_changes_a_histogram(observed, seed):
    one_by_one = histogram_of(observed)
    random.Random(seed).shuffle(observed)
    at_once = Histogram(EDGES)
    at_once.observe_all(observed)
    assert at_once.counts == one_by_one.counts
    assert at_once.total == pytest.approx(one_by_one.total)


def test_an_exemplar_is_kept_for_the_bucket_of_its_value_until_a_newer_one_comes():
    histogram = histogram_of([0.05, 0.06, 5.0])
    for trace_id, value in (("a", 0.05), ("b", 0.06), ("c", 5.0)):
        histogram.mark(Exemplar(trace_id, value, 1.0))
    assert {at: mark.trace_id for at, mark in histogram.exemplars.items()} == {1: "b", 3: "c"}


@settings(deadline=None)
@given(
    requests=st.dictionaries(st.tuples(st.text(), st.text()), st.integers(0, 2**53)),
    waits=st.dictionaries(st.text(), values),
)
def test_a_dump_reads_back_as_what_was_counted(requests, waits):
    registry = Registry([REQUESTS, WAITS])
    registry.numbers("trtgw_r_total").update(requests)
    for model, observed in waits.items():
        registry.histogram("trtgw_w_seconds", model).observe_all(observed)
    dump = read_dump(registry.dump(pid=7))
    assert dump.pid == 7
    counter, histogram = dump.families
    assert dict(counter.numbers) == requests
    assert (histogram.name, histogram.label_names, histogram.edges) == (
        "trtgw_w_seconds", ("model",), EDGES,
    )  # fmt: skip
    assert {series.labels[0]: sum(series.counts) for series in histogram.histograms} == {
        model: len(observed) for model, observed in waits.items()
    }


@pytest.mark.parametrize("raw", [b"", b"not a dump", b"\x93\x01\x02\x03"])
def test_bytes_that_are_no_dump_are_refused(raw):
    with pytest.raises(UnreadableDump, match="cannot be read"):
        read_dump(raw)


def test_forgetting_a_label_value_drops_its_series_and_no_others():
    registry = Registry([REQUESTS, WAITS, LAG])
    requests = registry.numbers("trtgw_r_total")
    requests.update({("a", "200"): 1, ("a", "500"): 2, ("b", "200"): 3})
    registry.histogram("trtgw_w_seconds", "a")
    kept = registry.histogram("trtgw_w_seconds", "b")
    lag = registry.histogram("trtgw_l_seconds")
    registry.forget("model", "a")
    assert requests == {("b", "200"): 3}
    assert registry.histogram("trtgw_w_seconds", "b") is kept
    assert registry.histogram("trtgw_l_seconds") is lag
    dump = {family.name: family for family in read_dump(registry.dump(pid=1)).families}
    assert [series.labels for series in dump["trtgw_w_seconds"].histograms] == [("b",)]
