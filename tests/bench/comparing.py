"""The gateway beside nginx: both run all the while, on one core, and take turns.

Within each round every scenario goes through one, then the other; the next round begins with
the other. What disturbs the machine for a while disturbs both, and the ratio of medians stands.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import click
import httpx

from tests.bench.building import CannotMeasure, Programs
from tests.bench.layout import Cores, Layout, lay_out
from tests.bench.measuring import Load, Measured
from tests.bench.profiling import recording
from tests.bench.scenarios import Scenario
from tests.bench.subjects import (
    SAMPLE_SHARE,
    Mock,
    Subject,
    running_gateway,
    running_mock,
    running_nginx,
)

Runs = Mapping[tuple[str, str, str], Sequence[Measured]]
"""(path, scenario, subject's name) -> one run for each round."""

MOST_RQWAIT = 0.1
"""A run that waited for its core for a greater share of its time was disturbed."""

_SCRAPE_S = 15.0
"""How often metrics are asked for, as Prometheus' own example does."""
_SURE_SPANS = 20
"""With so many expected, none at all is no chance."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: each scenario on each path in turn, how often, and how patiently."""

    paths: Sequence[str]
    scenarios: Mapping[str, Scenario]
    rounds: int
    patience_s: float

    def runs(self) -> Iterator[tuple[str, str, Scenario]]:
        """Yield path, scenario's name and scenario of each run of a round."""
        for path in self.paths:
            for name, scenario in self.scenarios.items():
                yield path, name, scenario


def compare(
    plan: Plan,
    programs: Programs,
    folder: Path,
    cores: Cores,
) -> Runs:
    """Measure nginx and the gateway in turn.

    Raises:
        CannotMeasure: something is missing, did not start or ended, or a feature was not on.
    """
    layout = lay_out(cores, workers=1, feeders=2)
    mock_core, load_core = layout.feeders
    with running_mock(programs, folder, [mock_core]) as mock:
        with (
            running_nginx(mock.port, folder, layout.workers) as nginx,
            running_gateway([mock], folder, layout.workers) as gateway,
            Scraper(gateway),
        ):
            load = Load(programs.load, [load_core], plan.patience_s)
            runs = _in_turn(load, (nginx, gateway), plan)
        _must_have_traced(mock, runs)
    return runs


def _in_turn(load: Load, subjects: Sequence[Subject], plan: Plan) -> Runs:
    runs: dict[tuple[str, str, str], list[Measured]] = defaultdict(list)
    for number in range(plan.rounds):
        order = subjects if number % 2 == 0 else subjects[::-1]
        for path, name, scenario in plan.runs():
            measured = {s.name: load.measure(s, path, scenario) for s in order}
            for who, each in measured.items():
                runs[path, name, who].append(each)
            click.echo(f"round {number + 1}: {path} {name}{_worries(measured)}")
    return runs


def _worries(measured: Mapping[str, Measured]) -> str:
    said = [f"{w}: {m.failed} failed: {m.first_error}" for w, m in measured.items() if m.failed]
    said += [f"{who} waited for the core" for who, m in measured.items() if disturbed(m)]
    return "".join(f"; {each}" for each in said)


def disturbed(measured: Measured) -> bool:
    """Say whether other work kept the subject from its core for a noticeable time."""
    return measured.rqwait > MOST_RQWAIT


def _must_have_traced(mock: Mock, runs: Runs) -> None:
    """Look after the gateway's end, when the last spans have left."""
    requests = sum(
        each.requests for (_, _, who), run in runs.items() if who == "gateway" for each in run
    )
    if requests * SAMPLE_SHARE > _SURE_SPANS and not mock.stats()["traces"]:
        raise CannotMeasure("no spans came: the gateway under test did not trace")


class Scraper:
    """Asks the gateway for its metrics all the while, as Prometheus would."""

    def __init__(self, gateway: Subject) -> None:
        """Ask nothing before the block is entered."""
        self._url = f"http://127.0.0.1:{gateway.admin_port}/metrics"
        self._end = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> None:
        """Begin.

        Raises:
            CannotMeasure: there are no metrics.
        """
        if not self._scrape():
            raise CannotMeasure("the gateway under test shows no metrics")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_SCRAPE_S):
            self._scrape()

    def _scrape(self) -> bool:
        try:
            return httpx.get(self._url, timeout=10).is_success
        except httpx.HTTPError:  # a busy worker may be late: that is not what is measured
            return False


def record(
    plan: Plan,
    programs: Programs,
    folder: Path,
    cores: Cores,
    into: Path,
) -> None:
    """Profile the worker in each scenario, once; ``into`` gets a file for each.

    Raises:
        CannotMeasure: py-spy is missing, or something did not start.
    """
    layout: Layout = lay_out(cores, workers=1, feeders=2)
    mock_core, load_core = layout.feeders
    into.mkdir(parents=True, exist_ok=True)
    with (
        running_mock(programs, folder, [mock_core]) as mock,
        running_gateway([mock], folder, layout.workers) as gateway,
    ):
        load = Load(programs.load, [load_core], plan.patience_s)
        beside: Collection[int] = [load_core]
        for path, name, scenario in plan.runs():
            file = into / f"{path}-{name}.svg"
            with recording(gateway.workers[0], file, beside):
                load.measure(gateway, path, scenario)
            click.echo(f"  {file}")
