"""From runs to figures: medians, ratios, bars; as a table for people and as JSON to keep."""

import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.measuring import Measured
from tests.bench.rounds import Runs, disturbed
from tests.bench.scenarios import PATHS, ROWS, Row

OURS, THEIRS = "gateway", "nginx"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    path: str
    scenario: str
    unit: str
    nginx: float
    gateway: float
    worker: float | None
    """The gateway's figure without its supervisor; None where that makes no difference."""
    ratio: float
    bar: float | None
    absolute: bool
    met: bool | None
    """None: there is no bar."""
    rqwait_nginx: float
    """The highest of the rounds, as is the next."""
    rqwait_gateway: float
    disturbed_rounds: int


def lines(runs: Runs) -> list[Line]:
    """Return the table's lines for what was measured, path by path."""
    return [
        _line(path, row, runs)
        for path in PATHS
        for row in ROWS
        if (path, row.scenario, OURS) in runs
    ]


def _line(path: str, row: Row, runs: Runs) -> Line:
    theirs, ours = runs[path, row.scenario, THEIRS], runs[path, row.scenario, OURS]
    nginx, gateway = _median(theirs, row.figure), _median(ours, row.figure)
    alone = f"{row.figure}_worker"
    ratio = gateway / nginx
    judged = gateway if row.absolute else ratio
    return Line(
        path=path,
        scenario=row.scenario,
        unit=row.unit,
        nginx=_rounded(nginx),
        gateway=_rounded(gateway),
        worker=_rounded(_median(ours, alone)) if alone in Measured.__slots__ else None,
        ratio=round(ratio, 2),
        bar=row.bar,
        absolute=row.absolute,
        met=None if row.bar is None else judged <= row.bar,
        rqwait_nginx=round(max(each.rqwait for each in theirs), 3),
        rqwait_gateway=round(max(each.rqwait for each in ours), 3),
        disturbed_rounds=sum(map(_any_disturbed, theirs, ours)),
    )


def _median(runs: Sequence[Measured], figure: str) -> float:
    return statistics.median(getattr(each, figure) for each in runs)


def _any_disturbed(*runs: Measured) -> bool:
    return any(map(disturbed, runs))


def _rounded(value: float) -> float:
    return round(value, 2 if value < 100 else 0)  # noqa: PLR2004 - three digits are enough


def failures(runs: Runs) -> list[str]:
    """Return a sentence for each run in which requests failed."""
    return [
        f"{who}, {path} {scenario}: {each.failed} of {each.failed + each.requests} requests"
        f" failed: {each.first_error}"
        for (path, scenario, who), rounds in runs.items()
        for each in rounds
        if each.failed
    ]


def table(all_lines: Iterable[Line], path: str) -> str:
    """Return the lines of one path as text in columns."""
    head = ("scenario", "unit", "nginx", "gateway", "(worker)", "ratio", "bar", "", "rqwait", "")
    rows = [head, *(_cells(line) for line in all_lines if line.path == path)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)  # noqa: PLR2004 - words
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cells(line: Line) -> tuple[str, ...]:
    bar = "" if line.bar is None else f"{line.bar:g}" + ("" if line.absolute else " x")
    return (
        line.scenario,
        line.unit,
        f"{line.nginx:g}",
        f"{line.gateway:g}",
        "" if line.worker is None else f"{line.worker:g}",
        f"{line.ratio:.2f}",
        bar,
        {None: "", True: "met", False: "MISSED"}[line.met],
        f"{line.rqwait_nginx:.2f} {line.rqwait_gateway:.2f}",
        f"{line.disturbed_rounds} disturbed" if line.disturbed_rounds else "",
    )


def as_json(runs: Runs, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything: the machine, the table, and each round of each run."""
    every: dict[str, Any] = {}
    for (path, scenario, who), rounds in runs.items():
        kept = [_kept(each) for each in rounds]
        every.setdefault(path, {}).setdefault(scenario, {})[who] = kept
    return {
        "machine": dict(machine),
        "table": [asdict(line) for line in lines(runs)],
        "rounds": every,
    }


def _kept(measured: Measured) -> dict[str, Any]:
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in asdict(measured).items()
        if value not in (None, "")
    }


def machine(cores: int, **programs: str) -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cores": cores,
        "processor": _processor(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        **programs,
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="ascii") as lines_of_cpu:  # noqa: PTH123 - a pseudo file
        for line in lines_of_cpu:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
