"""The benchmark itself, as short as can be: what it starts serves, is measured, and ends."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import procfs, report
from tests.bench.building import CannotMeasure
from tests.bench.comparing import Plan, compare
from tests.bench.layout import physical_cores
from tests.bench.scaling import Looks, as_json, efficiency, failures, measure_steps
from tests.bench.scenarios import PATHS, SCENARIOS
from tests.bench.subjects import running_nginx
from tests.system.running import eventually

SHORT = {name: replace(SCENARIOS[name], seconds=0.2) for name in ("a_json", "p1")}


def test_one_short_round_has_every_figure_of_both(programs, tmp_path):
    plan = Plan(tuple(PATHS), SHORT, rounds=1, patience_s=0)
    runs = compare(plan, programs, tmp_path, physical_cores())
    assert report.failures(runs) == []
    assert {key[2] for key in runs} == {"nginx", "gateway"}
    assert len(runs) == len(PATHS) * len(SHORT) * 2
    for (_, name, _), (run,) in runs.items():
        assert run.requests >= SHORT[name].clients
        assert run.us_request > 0
        assert run.added_ttft_p50_us > 0
        assert run.rss_mb > 1
        assert (run.us_chunk is not None) == SHORT[name].streamed
    for line in report.lines(runs):
        assert line.ratio > 0
    for key, (run,) in runs.items():
        if key[2] == "gateway":
            assert 0 < run.us_request_worker < run.us_request


def test_more_workers_are_measured_each_with_its_share(programs, tmp_path):
    looks = Looks(0.4, replace(SCENARIOS["d_p1024"], clients=32, ramp_ms=100))
    steps = list(measure_steps(programs, tmp_path, physical_cores(), (1, 2), "chat", looks))
    assert failures(steps) == []
    assert [step.workers for step in steps] == [1, 2]
    for step in steps:
        assert 0 < step.held.streams <= 32 * step.workers
        for window in (step.held, step.flooded):
            assert window.chunks_s > 0
            assert window.us_chunk > 0
            assert len(window.worker_shares) == step.workers
            assert min(window.worker_shares) > 0
    assert efficiency(steps[0], steps[0]) == 1
    assert len(as_json(steps, "chat", {})["steps"]) == 2


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.bench.subjects._SBIN", "")
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(CannotMeasure, match=r"apt-get install .* nginx"),
        running_nginx(1, tmp_path, {0}),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_that_was_started(number, tmp_path):
    command = [sys.executable, "-m", "tests.bench", "compare", "--patience", "0"]
    command += ["--scenarios", "p1", "--rounds", "1000"]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout.readline().startswith("round 1: chat p1")
        family = eventually(
            lambda: len(found := procfs.tree(bench.pid)) == 6 and found,
            "the benchmark, mock, nginx, supervisor, worker and load run",
        )
        bench.send_signal(number)
        bench.communicate(timeout=60)
    assert bench.returncode == 128 + number
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []
