"""Random faults at a real gateway: nobody is told an untruth, and nobody an error for nothing.

The controls take a mechanism away: the same checker must then find sins.
"""

import hashlib
import json
from pathlib import Path

import pytest

from tests.chaos.calls import CLIENTS, make_calls
from tests.chaos.checker import UNTRUE, Verdict
from tests.chaos.faults import BEFORE_HEAD, Schedule
from tests.chaos.latency import added_latency
from tests.chaos.report import Report
from tests.chaos.running import run
from tests.chaos.stand import standing

pytestmark = pytest.mark.anyio
SEED = 20
STREAMS, FEW = 160, 48
ENDS = ("clean_end", "sim_end_early", "sim_half_event")
GATEWAY = Path(__file__).parents[2] / "gateway"
PROVED_STREAMS, SLICE, SAMPLES = 10_000, 1000, 300


async def chaos(folder, streams, *, seed=SEED, kinds=(), concurrency=60, **stand_options):
    """Run chaos; windows only where all kinds of faults are let loose on a whole gateway."""
    schedule = Schedule(seed, kinds=kinds)
    report = Report()
    async with standing(folder, schedule.strike, **stand_options) as stand:
        calls = list(make_calls(seed, streams))
        report.add(
            await run(
                stand,
                calls,
                concurrency=concurrency,
                schedule=None if kinds else schedule,
            )
        )
    print(f"seed {seed}\n{report.table()}", *report.examples, sep="\n")  # noqa: T201 - pytest shows it when the test fails
    assert report.counts["calls"] == streams
    return report


def clients_that_came_to(report, verdict):
    return {client for _, client, found in report.seen if found == verdict}


async def test_whatever_replicas_do_clients_get_the_truth_in_the_promised_form(tmp_path):
    report = await chaos(tmp_path, STREAMS)
    assert report.sins == 0, report.examples
    assert report.counts["faulted_before_content"] > FEW // 2
    assert report.counts["faulted_after_content"] > FEW // 2
    for good in (Verdict.COMPLETE, Verdict.BROKEN_OFF):
        assert clients_that_came_to(report, good) == set(CLIENTS)


async def test_without_a_gateway_clients_are_told_untruths(tmp_path):
    report = await chaos(tmp_path, FEW, kinds=(*ENDS, "reset"), gateway=False)
    assert clients_that_came_to(report, Verdict.CUT) == set(CLIENTS)
    assert report.of([Verdict.TRANSPORT, Verdict.CONFUSED])
    assert report.of([Verdict.BROKEN_OFF]) == 0


async def test_a_gateway_that_believes_any_end_is_found_out(tmp_path):
    report = await chaos(tmp_path, FEW, kinds=ENDS, changes=["ends_believed"])
    assert clients_that_came_to(report, Verdict.CUT) == set(CLIENTS)


async def test_a_gateway_that_asks_no_second_replica_is_found_out(tmp_path):
    report = await chaos(tmp_path, FEW, kinds=BEFORE_HEAD, changes=["no_retry"])
    assert clients_that_came_to(report, Verdict.NEEDLESS) == set(CLIENTS)
    assert report.of(UNTRUE) == 0


@pytest.mark.proof
@pytest.mark.timeout(3600)
async def test_of_10_000_faulted_streams_none_looks_whole_that_is_not(
    tmp_path, request, note_figures
):
    figures = request.config.getoption("--figures")
    kept = Kept(Path(figures) / "chaos.partial.json" if figures else None)
    while kept.report.counts["faulted_streams"] < PROVED_STREAMS:
        folder = tmp_path / str(kept.slices)
        folder.mkdir()
        part = await chaos(folder, SLICE, seed=SEED + kept.slices, concurrency=80)
        kept.add(part)
    calm = tmp_path / "calm"
    calm.mkdir()
    latency = await added_latency(calm, SAMPLES)
    note_figures(
        "chaos",
        **kept.report.figures(),
        first_seed=SEED,
        slices=kept.slices,
        latency_by_fault_before_content=latency,
    )
    kept.forget()
    assert kept.report.sins == 0, kept.report.examples


class Kept:
    """What the slices so far came to, on disk: a run that was broken off goes on from there.

    It counts only for the very sources that it was measured on.
    """

    def __init__(self, path):
        self.path = path
        self.report, self.slices = Report(), 0
        digest = hashlib.sha256()
        for source in sorted(GATEWAY.rglob("*.py")):
            digest.update(source.read_bytes())
        self.sources = digest.hexdigest()
        if path is not None and path.exists():
            found = json.loads(path.read_text())
            if found["sources"] == self.sources:
                self.report, self.slices = Report.from_json(found["report"]), found["slices"]

    def add(self, part):
        self.report.merge(part)
        self.slices += 1
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            state = {
                "sources": self.sources,
                "slices": self.slices,
                "report": self.report.as_json(),
            }
            self.path.write_text(json.dumps(state))

    def forget(self):
        if self.path is not None:
            self.path.unlink(missing_ok=True)
