"""Medians, ratios and bars; and the page shows what the file holds."""

import json
from dataclasses import asdict, replace

import pytest

from tests.bench import page, report
from tests.bench.measuring import Measured
from tests.bench.scenarios import BARS, PATHS, SCENARIOS, USUAL

RUN = Measured(
    us_request=100.0, us_request_worker=90.0, us_chunk=10.0, us_chunk_worker=9.0,
    added_ttft_p50_us=200.0, added_chunk_p50_us=50.0, added_chunk_p99_us=300.0, rss_mb=60.0,
    requests=1000, failed=0, first_error="", cpu_share=0.5, rqwait=0.0, load_share=0.1,
    quiet=True,
)  # fmt: skip


def runs(scenario, figure, nginx, gateway):
    def each(values):
        return [replace(RUN, **{figure: value}) for value in values]

    return {
        ("chat", scenario, "nginx"): each(nginx),
        ("chat", scenario, "gateway"): each(gateway),
    }


def test_the_ratio_is_that_of_the_medians():
    (line,) = report.lines(runs("c_p256", "us_chunk", [10.0, 9.0, 90.0], [13.0, 12.0, 14.0]))
    assert (line.nginx, line.gateway, line.worker, line.ratio) == (10.0, 13.0, 9.0, 1.3)


@pytest.mark.parametrize(("gateway", "met"), [(13.9, True), (14.0, True), (14.1, False)])
def test_a_bar_in_nginxs_figures(gateway, met):
    (line,) = report.lines(runs("c_p256", "us_chunk", [10.0], [gateway]))
    assert (line.bar, line.met) == (1.4, met)


@pytest.mark.parametrize(("gateway", "met"), [(119.0, True), (121.0, False)])
def test_a_bar_of_its_own_needs_no_nginx(gateway, met):
    lines = report.lines(runs("d_p1024", "rss_mb", [1.0], [gateway]))
    assert [line.met for line in lines if line.absolute] == [met]


def test_a_figure_without_a_bar_is_only_shown():
    (line,) = report.lines(runs("c_p256_unasked", "us_chunk", [1.0], [99.0]))
    assert (line.bar, line.met) == (None, None)


def test_a_round_counts_as_disturbed_whoever_waited():
    measured = runs("c_p256", "rqwait", [0.0, 0.3, 0.0], [0.0, 0.0, 0.2])
    (line,) = report.lines(measured)
    assert (line.disturbed_rounds, line.rqwait_nginx, line.rqwait_gateway) == (2, 0.3, 0.2)


def test_failed_requests_are_told():
    measured = runs("p1", "failed", [0], [2])
    assert report.failures(measured) == [
        "gateway, chat p1: 2 of 1002 requests failed: ",
    ]


def test_every_round_is_kept():
    measured = runs("c_p256", "us_chunk", [10.0, 9.0], [13.0, 12.0])
    kept = json.loads(json.dumps(report.as_json(measured, {"cores": 2})))
    assert [each["us_chunk"] for each in kept["rounds"]["chat"]["c_p256"]["nginx"]] == [10, 9]
    assert kept["table"] == [asdict(line) for line in report.lines(measured)]


def test_bars_are_for_figures_of_scenarios_that_exist():
    assert {bar.scenario for bar in BARS} == set(SCENARIOS)
    assert {bar.figure for bar in BARS} <= set(Measured.__slots__)
    assert {bar.scenario for bar in BARS if bar.most is not None} <= set(USUAL)


def test_the_page_shows_what_the_files_hold():
    text = page.PAGE.read_text()
    assert text == page.filled(text, page.FIGURES), (
        "docs/performance.md is old: run `make docs`"
    )


def test_a_figure_changed_in_the_file_changes_the_page(tmp_path):
    kept = json.loads((page.FIGURES / "data_plane.json").read_text())
    kept["table"][0]["gateway"] = 123456.0
    (tmp_path / "data_plane.json").write_text(json.dumps(kept))
    assert "| 123456 |" in page.filled(page.PAGE.read_text(), tmp_path)


def test_the_kept_figures_are_of_every_scenario_on_both_paths():
    kept = json.loads((page.FIGURES / "data_plane.json").read_text())
    shown = [(line["path"], line["scenario"], line["unit"]) for line in kept["table"]]
    wanted = [(p, b.scenario, b.unit) for p in PATHS for b in BARS if b.scenario in USUAL]
    assert shown == wanted
    assert not any(
        run["failed"]
        for path in kept["rounds"].values()
        for scenario in path.values()
        for rounds in scenario.values()
        for run in rounds
    )
