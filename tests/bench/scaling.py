"""How the gateway scales over cores: the same load for each worker, with 1, 2, 4 ... workers.

Two loads: one that is held easily tells what a token costs and how late it comes; one of twice
what a worker can do tells how many go through. A step in which something else than the workers
was the limit says so, and its efficiency says nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.building import Programs
from tests.bench.comparing import MOST_RQWAIT
from tests.bench.layout import Cores, lay_out
from tests.bench.scenarios import SCENARIOS, Scenario
from tests.bench.stand import Window, standing
from tests.bench.tables import Column

_SATURATED_SHARE = 0.95
_OVERLOAD = 2.0
_FLOOD_TOKENS, _FLOOD_RAMP_MS = 256, 1000

FOOTNOTE = """\
held: 1,024 streams for each worker, a token each 50 ms. flood: twice what a worker can do.
worker waits: share of the time in which a worker had work but no core. feeder: the busiest core
of a mock or load generator. Limited by anything but workers, a rate and its efficiency are not
the gateway's: the machine has too few cores, or others use them."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What each worker holds, and how long it is looked at."""

    window_s: float = 4.0
    held: Scenario = SCENARIOS["d_p1024"]
    """Its seconds do not count: the window does."""


@dataclass(frozen=True, slots=True)
class Step:
    """What so many workers do."""

    workers: int
    workers_alone: bool
    """Nothing else ran on their physical cores."""
    held: Window
    flooded: Window

    @property
    def limit(self) -> str:
        """What kept the flood from being faster."""
        if not self.workers_alone:
            return "shared cores"
        waits = min(self.flooded.rqwait, MOST_RQWAIT)
        if self.flooded.worker_share + waits >= _SATURATED_SHARE:
            return "workers"
        return "other work" if self.flooded.rqwait > MOST_RQWAIT else "feeders"


def measure_steps(
    programs: Programs,
    folder: Path,
    cores: Cores,
    counts: Sequence[int],
    path: str,
    looks: Looks,
) -> Iterator[Step]:
    """Measure each count of workers in turn; the flood for each worker is always the same.

    Raises:
        CannotMeasure: something did not start, or ended.
    """
    flood: Scenario | None = None
    for count in counts:
        layout = lay_out(cores, count, 2 * count)
        own = folder / f"{count}-workers"
        own.mkdir()
        with standing(programs, own, layout, path, looks.window_s) as stand:
            held = stand.run(looks.held)
            flood = flood or _flood(looks.held.clients // 2, held.us_chunk)
            flooded = stand.run(flood)
        yield Step(count, layout.workers_alone, held, flooded)


def _flood(streams: int, us_chunk: float) -> Scenario:
    """Return streams that ask `_OVERLOAD` times what a worker can do at this cost."""
    return Scenario(
        "more than a worker can do",
        clients=streams,
        seconds=0,
        tokens=_FLOOD_TOKENS,
        itl_us=round(streams * us_chunk / _OVERLOAD),
        ramp_ms=_FLOOD_RAMP_MS,
    )


def efficiency(step: Step, first: Step) -> float:
    """Return what each worker carries, as a share of what it carried in the ``first`` step."""
    return (step.flooded.chunks_s / step.workers) / (first.flooded.chunks_s / first.workers)


def as_json(steps: Sequence[Step], path: str, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "machine": dict(machine),
        "path": path,
        "steps": [_kept(step, steps[0]) for step in steps],
    }


def _kept(step: Step, first: Step) -> dict[str, Any]:
    kept: dict[str, Any] = _rounded(asdict(step))
    return {**kept, "efficiency": round(efficiency(step, first), 3), "limit": step.limit}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


COLUMNS = (
    Column("workers", lambda row: f"{row['workers']}"),
    Column("streams held", lambda row: f"{row['held']['streams']:,}"),
    Column("held: us/token", lambda row: f"{row['held']['us_chunk']:.1f}"),
    Column("delay p50 us", lambda row: f"{row['held']['chunk_delay_p50_us']:,.0f}"),
    Column("delay p99 us", lambda row: f"{row['held']['chunk_delay_p99_us']:,.0f}"),
    Column("flood: tokens/s", lambda row: f"{row['flooded']['chunks_s']:,.0f}"),
    Column("flood: us/token", lambda row: f"{row['flooded']['us_chunk']:.1f}"),
    Column("worker CPU", lambda row: f"{row['flooded']['worker_share']:.0%}"),
    Column("worker waits", lambda row: f"{row['flooded']['rqwait']:.0%}"),
    Column("feeder CPU", lambda row: f"{row['flooded']['fullest_feeder_share']:.0%}"),
    Column("efficiency", lambda row: f"{row['efficiency']:.2f}"),
    Column("limited by", lambda row: str(row["limit"]), words=True),
)
"""Of a step as `as_json` keeps it."""


def failures(steps: Iterable[Step]) -> list[str]:
    """Return a sentence for each step in which requests failed."""
    return [
        f"{step.workers} workers: {step.held.failed + step.flooded.failed} requests failed"
        for step in steps
        if step.held.failed + step.flooded.failed
    ]
