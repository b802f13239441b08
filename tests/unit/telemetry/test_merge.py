from gateway.telemetry.merge import merge
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.series import Dump, FamilyDump, HistogramDump, read_dump
from tests.fakes.facts import streamed
from tests.fakes.scrape import no_fleet


def merged(**workers):
    own = read_dump(no_fleet().dump())
    return {metric.name: metric for metric in merge(own, workers)}


def test_workers_stand_side_by_side_and_are_never_summed():
    dumps = {}
    for slot, requests in (("1", 3), ("0", 2)):
        metrics = RequestMetrics()
        for _ in range(requests):
            metrics.record(streamed())
        dumps[slot] = read_dump(metrics.dump(20.0))
    samples = merged(**dumps)["trtgw_requests"].samples
    assert {s.labels["worker"]: s.value for s in samples} == {"0": 2, "1": 3}


def test_a_family_that_nothing_was_counted_for_is_still_described():
    families = merged()
    assert families["trtgw_requests"].samples == []
    assert families["trtgw_requests"].documentation == "Finished requests."


def test_a_worker_of_another_version_keeps_its_edges_and_its_labels_find_their_names():
    histogram = HistogramDump(("llama", "x"), [1, 0, 2], 9.5, {})
    old = Dump(
        pid=1,
        families=[
            FamilyDump("trtgw_gone_total", (), (), [((), 1)], []),
            FamilyDump("trtgw_requests_total", ("code", "model"), (), [(("200", "m"), 4)], []),
            FamilyDump(
                "trtgw_time_to_first_token_seconds", ("model", "zone"), (0.5, 2.0), [],
                [histogram],
            ),
        ],
    )  # fmt: skip
    families = merged(**{"0": old})
    assert "trtgw_gone" not in families
    (request,) = families["trtgw_requests"].samples
    assert (request.labels["code"], request.labels["model"]) == ("200", "m")
    assert request.labels["stream"] == ""
    ttft = families["trtgw_time_to_first_token_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in ttft if "le" in s.labels}
    assert buckets == {"0.5": 1, "2.0": 1, "+Inf": 3}


def test_a_unit_is_declared_only_where_the_name_ends_in_it():
    families = merged()
    assert families["trtgw_input_tokens"].unit == "tokens"
    assert families["trtgw_time_to_first_token_seconds"].unit == "seconds"
    assert families["trtgw_requests"].unit == ""
