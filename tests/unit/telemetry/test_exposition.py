import asyncio
import shutil
import subprocess

import pytest

from gateway.telemetry.catalogue import CATALOGUE
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.series import TraceMark
from tests.fakes.facts import streamed
from tests.fakes.scrape import OPENMETRICS, Scrape, no_fleet, scrape

pytestmark = pytest.mark.anyio

MARK = TraceMark("0af7651916cd43dd8448eb211c80319c", 1_700_000_000.5)


def busy_worker():
    metrics = RequestMetrics()
    metrics.configure(["llama"], ["r1"], at=0.0)
    metrics.record(streamed(), MARK)
    return metrics


@pytest.fixture
def exposition():
    exposition = Exposition(no_fleet())
    exposition.worker_reported("0", busy_worker().dump(20.0))
    return exposition


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_both_text_forms_carry_the_whole_catalogue_in_its_order(accept):
    seen = scrape(busy_worker(), accept=accept)
    names = [family.name for family in seen.families if family.name.startswith("trtgw_")]
    expected = [
        name.removesuffix("_total").removesuffix("" if not accept else "_info")
        for name in CATALOGUE
    ]
    assert names == expected


async def test_exemplars_go_out_in_openmetrics_only(exposition):
    openmetrics, _ = await exposition.render(OPENMETRICS)
    assert openmetrics.count(MARK.trace_id.encode()) == 2
    plain, _ = await exposition.render("text/plain")
    assert MARK.trace_id.encode() not in plain


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text;version=new", ";;,"])
async def test_a_scraper_that_asks_for_nothing_known_gets_plain_text(exposition, accept):
    body, content_type = await exposition.render(accept)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert Scrape(body, content_type).value("trtgw_worker_up", worker="0") == 1


async def test_a_worker_that_does_not_answer_is_shown_as_down_without_its_series(exposition):
    await exposition.render("")
    seen = Scrape(*await exposition.render(""))
    assert seen.value("trtgw_worker_up", worker="0") == 0
    assert seen.all("trtgw_requests_total") == []
    assert seen.all("process_start_time_seconds", worker="0") == []


async def test_a_worker_that_never_came_up_is_shown_as_down():
    exposition = Exposition(no_fleet(), slots=["0", "1"])
    exposition.worker_reported("0", busy_worker().dump(20.0))
    seen = Scrape(*await exposition.render(""))
    assert [seen.value("trtgw_worker_up", worker=slot) for slot in ("0", "1")] == [1, 0]


async def test_a_restarted_worker_starts_at_0_under_the_same_label(exposition):
    await exposition.render("")
    restarted = RequestMetrics()
    restarted.configure(["llama"], ["r1"], at=0.0)
    exposition.worker_reported("0", restarted.dump(1.0))
    seen = Scrape(*await exposition.render(""))
    assert seen.value("trtgw_worker_up", worker="0") == 1
    assert seen.total("trtgw_requests_total", worker="0") == 0


async def test_a_dump_that_cannot_be_read_is_as_good_as_none(exposition, caplog):
    exposition.worker_reported("1", b"junk")
    seen = Scrape(*await exposition.render(""))
    assert seen.total("trtgw_requests_total", worker="0") == 1
    assert seen.all("trtgw_worker_up", worker="1") == []
    assert "the metrics of worker 1 are left out" in caplog.text


async def test_label_values_are_escaped():
    metrics = RequestMetrics()
    metrics.configure(['a"b\\c\nd'], [], at=0.0)
    exposition = Exposition(no_fleet())
    for accept in ("", OPENMETRICS):
        exposition.worker_reported("0", metrics.dump(0.0))
        seen = Scrape(*await exposition.render(accept))
        assert seen.value("trtgw_requests_in_flight", model='a"b\\c\nd') == 0


def test_promtool_finds_nothing_to_complain_about(exposition):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is not on PATH; install Debian's package `prometheus`")
    body, _ = asyncio.run(exposition.render(""))
    ours = b"".join(line for line in body.splitlines(keepends=True) if b"trtgw_" in line)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=ours, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, b"")
