import pytest

from gateway.telemetry import buckets
from gateway.telemetry.catalogue import CATALOGUE, Kind

LABELS = {
    "model", "operation", "stream", "code", "outcome", "result", "reason", "phase", "replica",
    "state", "to", "version", "revision", "python", "worker", "signal",
}  # fmt: skip
ENGINE_TTFT_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
ENGINE_TPOT_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5)
ENGINE_E2E_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 60, 120, 240, 480, 960)

families = pytest.mark.parametrize("family", CATALOGUE.values(), ids=lambda family: family.name)


@families
def test_a_name_carries_prefix_and_the_suffix_of_its_type(family):
    assert family.name.startswith("trtgw_")
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert family.name.endswith("_info") == (family.kind is Kind.INFO)


@families
def test_every_label_is_one_whose_values_are_bounded(family):
    assert set(family.labels) <= LABELS


@families
def test_a_histogram_has_ascending_edges_and_nothing_else_has_any(family):
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert list(family.buckets) == sorted(set(family.buckets))


@families
def test_a_meaning_is_a_sentence(family):
    assert not family.meaning[0].islower()
    assert family.meaning.endswith(".")


def test_the_edges_hold_those_of_the_engine_so_that_both_can_be_laid_over_each_other():
    assert set(ENGINE_TTFT_S) <= set(buckets.TTFT_S)
    assert set(ENGINE_TPOT_S) <= set(buckets.ITL_S)
    assert set(ENGINE_E2E_S) <= set(buckets.E2E_S)
