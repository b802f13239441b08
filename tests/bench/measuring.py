"""One run: a load through one subject, and what both say of it.

CPU is counted over the whole process tree and over the workers alone; memory is that of the
first worker, at its highest while the load runs. Latencies come from the load generator.
"""

import json
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import procfs
from tests.bench.building import CannotMeasure
from tests.bench.processes import pinned
from tests.bench.scenarios import Scenario, load_command
from tests.bench.subjects import Subject

_SAMPLE_S = 0.2
_QUIET_SHARE = 0.7
_LOOK_S = 0.25
_LIMIT_S = 120.0
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one run; None where the scenario does not give one."""

    us_request: float | None
    """CPU of the whole process tree for each request, in microseconds."""
    us_request_worker: float | None
    """The same of the workers alone."""
    us_chunk: float | None
    """For each token; it holds the request's own cost, spread over its tokens."""
    us_chunk_worker: float | None
    added_ttft_p50_us: float | None
    added_chunk_p50_us: float | None
    added_chunk_p99_us: float | None
    rss_mb: float
    requests: int
    failed: int
    first_error: str
    cpu_share: float
    """Of one core."""
    rqwait: float
    """Share of the time for which threads could have run but had no core: a disturbed run."""
    load_share: float
    """CPU of the load generator, of one core."""
    quiet: bool
    """Whether the machine was idle before."""


@dataclass(frozen=True, slots=True)
class Load:
    """The load generator and where it runs."""

    program: Path
    cores: Collection[int]
    patience_s: float = 5.0
    """How long to wait for the machine to be idle before a run."""

    def measure(self, subject: Subject, path: str, scenario: Scenario) -> Measured:
        """Run ``scenario`` through ``subject``.

        Raises:
            CannotMeasure: the load generator ended badly, or the worker did.
        """
        quiet = _wait_until_quiet(self.patience_s)
        before = _usage(subject)
        seen, rss_mb = self._run(
            load_command(self.program, path, subject.port, scenario), subject
        )
        tree, workers = (
            now.since(then) for now, then in zip(_usage(subject), before, strict=True)
        )
        requests, chunks = seen["ok"], seen["chunks"] if scenario.streamed else 0
        wall_us = seen["wall_s"] * _US_PER_S
        return Measured(
            us_request=_each(tree, requests),
            us_request_worker=_each(workers, requests),
            us_chunk=_each(tree, chunks),
            us_chunk_worker=_each(workers, chunks),
            added_ttft_p50_us=_quantile(seen["added_ttft_us"], "p50"),
            added_chunk_p50_us=_quantile(seen["added_chunk_us"], "p50"),
            added_chunk_p99_us=_quantile(seen["added_chunk_us"], "p99"),
            rss_mb=rss_mb,
            requests=requests,
            failed=seen["errors"],
            first_error=seen["first_error"],
            cpu_share=tree.cpu_us / wall_us,
            rqwait=tree.waited_us / wall_us,
            load_share=seen["load_share"],
            quiet=quiet,
        )

    def _run(self, command: list[str], subject: Subject) -> tuple[Mapping[str, Any], float]:
        """Return what the generator prints, and the worker's highest memory meanwhile."""
        with pinned(self.cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        rss_mb, ends_at = 0.0, time.monotonic() + _LIMIT_S
        try:
            while process.poll() is None and time.monotonic() < ends_at:
                rss_mb = max(rss_mb, procfs.resident_mb(subject.workers[0]))
                time.sleep(_SAMPLE_S)
        except OSError:
            raise CannotMeasure(f"the worker of {subject.name} ended") from None
        finally:
            process.kill()
            printed, _ = process.communicate()
        if process.returncode:
            raise CannotMeasure(f"ended with {process.returncode}: {' '.join(command)}")
        return json.loads(printed), rss_mb


def _usage(subject: Subject) -> tuple[procfs.Used, procfs.Used]:
    """Return what the whole tree and what the workers have used."""
    return procfs.used(procfs.tree(subject.pid)), procfs.used(subject.workers)


def _each(used: procfs.Used, count: int) -> float | None:
    return used.cpu_us / count if count else None


def _quantile(samples: Mapping[str, float] | None, name: str) -> float | None:
    return samples[name] if samples else None


def _wait_until_quiet(patience_s: float) -> bool:
    """Wait until most of the machine is idle; False when that did not come."""
    ends_at = time.monotonic() + patience_s
    while time.monotonic() < ends_at:
        if procfs.idle_shares(_LOOK_S)["cpu"] > _QUIET_SHARE:
            return True
    return False
