"""A gateway of several workers on a stand: each worker, mock and load generator on its core.

Each worker has a mock replica and a load generator to itself, on other cores than its own as
long as there are enough. It is looked at only while all streams run.
"""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import procfs
from tests.bench.building import CannotMeasure, Programs
from tests.bench.layout import Layout
from tests.bench.processes import pin, pinned
from tests.bench.scenarios import Scenario, load_command
from tests.bench.subjects import Mock, Subject, running_gateway, running_mock

_US_PER_S = 1_000_000
_MS_PER_S = 1000
_LIMIT_S = 120.0
_LEAD_S = 0.2
"""From the last stream's start to the first look."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen while all streams ran, between their start and their end."""

    streams: int
    """Held at once, as the mocks counted them."""
    chunks_s: float
    us_chunk: float
    """CPU of the workers for each token."""
    worker_share: float
    """CPU of the workers, each of its core, on average."""
    worker_shares: Sequence[float]
    """Of each one: the kernel spreads connections by chance."""
    supervisor_share: float
    fullest_feeder_share: float
    """The mock's or load generator's core with the least room left."""
    rqwait: float
    """Share of the time for which the workers could have run but had no core."""
    events_per_read: float
    """At the clients: above 1 tokens come joined, because somebody is behind."""
    chunk_delay_p50_us: float
    chunk_delay_p99_us: float
    """Of the slowest load generator, as is the one above."""
    failed: int


@dataclass(frozen=True, slots=True)
class Stand:
    """A gateway with a mock replica and a load generator for each worker, all placed."""

    gateway: Subject
    mocks: Sequence[Mock]
    layout: Layout
    program: Path
    path: str
    window_s: float

    def run(self, scenario: Scenario) -> Window:
        """Put ``scenario`` on every worker's share and look while all streams run.

        Raises:
            CannotMeasure: a load generator ended badly.
        """
        starts_s = scenario.ramp_ms / _MS_PER_S + _LEAD_S
        scenario = replace(scenario, seconds=starts_s + self.window_s)
        ends_ms = scenario.seconds * _MS_PER_S
        span = ["-from-ms", f"{starts_s * _MS_PER_S:.0f}", "-to-ms", f"{ends_ms:.0f}"]
        command = [*load_command(self.program, self.path, self.gateway.port, scenario), *span]
        with self._loads(command) as loads:
            time.sleep(starts_s)
            before, began_at = self._usage(loads), time.monotonic()
            time.sleep(self.window_s / 2)
            streams = sum(mock.stats()["open"] for mock in self.mocks)
            time.sleep(self.window_s / 2)
            after, took_s = self._usage(loads), time.monotonic() - began_at
            seen = [_result(load) for load in loads]
        spent = [now.since(then) for now, then in zip(after, before, strict=True)]
        return self._window(streams, seen, spent, took_s)

    @contextmanager
    def _loads(self, command: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Start a load generator for each worker; none is left after the block."""
        loads: list[subprocess.Popen[bytes]] = []
        try:
            for core in self.layout.feeders[1::2]:
                with pinned([core]):
                    loads.append(
                        subprocess.Popen(
                            command, stdout=subprocess.PIPE, start_new_session=True
                        )
                    )
            yield loads
        finally:
            for load in loads:
                load.kill()
                load.wait()
                if load.stdout is not None:
                    load.stdout.close()

    def _usage(self, loads: Sequence[subprocess.Popen[bytes]]) -> list[procfs.Used]:
        """Return what each process has used: workers, supervisor, then mock, load, mock ..."""
        feeders = [
            pid
            for mock, load in zip(self.mocks, loads, strict=True)
            for pid in (mock.pid, load.pid)
        ]
        pids = [*self.gateway.workers, self.gateway.pid, *feeders]
        return [procfs.used([pid]) for pid in pids]

    def _window(
        self,
        streams: int,
        seen: Sequence[Mapping[str, Any]],
        spent: Sequence[procfs.Used],
        took_s: float,
    ) -> Window:
        count = len(self.gateway.workers)
        workers, supervisor, feeders = spent[:count], spent[count], spent[count + 1 :]
        took_us = took_s * _US_PER_S
        on_core: dict[int, float] = {}
        for core, used in zip(self.layout.feeders, feeders, strict=True):
            on_core[core] = on_core.get(core, 0.0) + used.cpu_us / took_us
        chunks_s = sum(each["steady_chunks"] for each in seen) / self.window_s
        delays = [each["added_chunk_us"] or {"p50": 0.0, "p99": 0.0} for each in seen]
        return Window(
            streams=streams,
            chunks_s=chunks_s,
            us_chunk=sum(each.cpu_us for each in workers) / took_s / max(1.0, chunks_s),
            worker_share=sum(each.cpu_us for each in workers) / count / took_us,
            worker_shares=[each.cpu_us / took_us for each in workers],
            supervisor_share=supervisor.cpu_us / took_us,
            fullest_feeder_share=max(on_core.values()),
            rqwait=sum(each.waited_us for each in workers) / count / took_us,
            events_per_read=max(each["events_per_read"] for each in seen),
            chunk_delay_p50_us=max(each["p50"] for each in delays),
            chunk_delay_p99_us=max(each["p99"] for each in delays),
            failed=sum(each["errors"] for each in seen),
        )


def _result(load: subprocess.Popen[bytes]) -> Mapping[str, Any]:
    """Return what a load generator prints at its end."""
    printed, _ = load.communicate(timeout=_LIMIT_S)
    if load.returncode:
        raise CannotMeasure(f"a load generator ended with {load.returncode}")
    result: Mapping[str, Any] = json.loads(printed)
    return result


@contextmanager
def standing(
    programs: Programs, folder: Path, layout: Layout, path: str, window_s: float
) -> Iterator[Stand]:
    """Run a gateway, and a mock replica for each worker, on the cores of ``layout``.

    Raises:
        CannotMeasure: something did not start, or a worker was replaced in the block.
    """
    mock_cores = layout.feeders[0::2]
    with ExitStack() as stack:
        mocks = [stack.enter_context(running_mock(programs, folder, [c])) for c in mock_cores]
        gateway = stack.enter_context(
            running_gateway(mocks, folder, [layout.supervisor], workers=len(layout.workers))
        )
        for pid, core in zip(gateway.workers, layout.workers, strict=True):
            pin(pid, [core])
        yield Stand(gateway, mocks, layout, programs.load, path, window_s)
        if not all(map(procfs.command, gateway.workers)):
            raise CannotMeasure("a worker ended while it was measured")
