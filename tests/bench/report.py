"""From runs to figures: medians, ratios, bars; as a table for people and as JSON to keep."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.comparing import MOST_RQWAIT, Runs, disturbed
from tests.bench.measuring import Measured
from tests.bench.scenarios import BARS, PATHS, Bar
from tests.bench.tables import Column, Row

OURS, THEIRS = "gateway", "nginx"

FOOTNOTE = f"""\
gateway: the worker and its supervisor; (worker): the worker alone. Bars are for both together.
CPU/token holds the request's own cost, spread over its tokens.
rqwait: the highest share of a round in which nginx, and the gateway, had work but no core;
above {MOST_RQWAIT:g} the round was disturbed. Only ratios within one run mean anything."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a figure of a scenario, of both, and whether it is good enough."""

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
        _line(path, bar, runs)
        for path in PATHS
        for bar in BARS
        if (path, bar.scenario, OURS) in runs
    ]


def _line(path: str, bar: Bar, runs: Runs) -> Line:
    theirs, ours = runs[path, bar.scenario, THEIRS], runs[path, bar.scenario, OURS]
    nginx, gateway = _median(theirs, bar.figure), _median(ours, bar.figure)
    alone = f"{bar.figure}_worker"
    judged = gateway if bar.absolute else gateway / nginx
    return Line(
        path=path,
        scenario=bar.scenario,
        unit=bar.unit,
        nginx=_rounded(nginx),
        gateway=_rounded(gateway),
        worker=_rounded(_median(ours, alone)) if alone in Measured.__slots__ else None,
        ratio=round(gateway / nginx, 2),
        bar=bar.most,
        absolute=bar.absolute,
        met=None if bar.most is None else judged <= bar.most,
        rqwait_nginx=round(max(each.rqwait for each in theirs), 3),
        rqwait_gateway=round(max(each.rqwait for each in ours), 3),
        disturbed_rounds=sum(
            disturbed(one) or disturbed(other) for one, other in zip(theirs, ours, strict=True)
        ),
    )


def _median(rounds: Sequence[Measured], figure: str) -> float:
    return statistics.median(getattr(each, figure) for each in rounds)


def _rounded(value: float) -> float:
    return round(value, 2 if value < 100 else 0)


def _worker(row: Row) -> str:
    return "" if row["worker"] is None else f"{row['worker']:g}"


def _bar(row: Row) -> str:
    return "" if row["bar"] is None else f"{row['bar']:g}{'' if row['absolute'] else ' x'}"


def _met(row: Row) -> str:
    return {None: "", True: "met", False: "MISSED"}[row["met"]]


def _waited(row: Row) -> str:
    return f"{row['rqwait_nginx']:.2f} {row['rqwait_gateway']:.2f}"


def _disturbed(row: Row) -> str:
    return f"{row['disturbed_rounds']}" if row["disturbed_rounds"] else ""


COLUMNS = (
    Column("scenario", lambda row: str(row["scenario"]), words=True),
    Column("figure", lambda row: str(row["unit"]), words=True),
    Column("nginx", lambda row: f"{row['nginx']:g}"),
    Column("gateway", lambda row: f"{row['gateway']:g}"),
    Column("(worker)", _worker),
    Column("ratio", lambda row: f"{row['ratio']:.2f}"),
    Column("bar", _bar),
    Column("", _met, words=True),
    Column("rqwait", _waited),
    Column("disturbed", _disturbed),
)
"""Of a `Line` as a dictionary."""


def failures(runs: Runs) -> list[str]:
    """Return a sentence for each run in which requests failed."""
    return [
        f"{who}, {path} {scenario}: {each.failed} of {each.failed + each.requests} requests"
        f" failed: {each.first_error}"
        for (path, scenario, who), rounds in runs.items()
        for each in rounds
        if each.failed
    ]


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
        if value is not None
    }
