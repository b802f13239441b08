"""The gateway beside nginx: both run all the while, on one core, and take turns.

Within each round every scenario goes through one, then the other; the next round begins with
the other. What disturbs the machine for a while disturbs both, and the ratio of medians stands.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tests.bench import features
from tests.bench.building import Programs
from tests.bench.layout import Cores, lay_out
from tests.bench.measuring import Load, Measured
from tests.bench.profiling import recording
from tests.bench.scenarios import Scenario
from tests.bench.subjects import Subject, running_gateway, running_mock, running_nginx

Runs = Mapping[tuple[str, str, str], Sequence[Measured]]
"""(path, scenario, subject's name) -> one run for each round."""

MOST_RQWAIT = 0.1
"""A run that waited for its core for a greater share of its time was disturbed."""


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


def compare(plan: Plan, programs: Programs, folder: Path, cores: Cores) -> Runs:
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
            features.Scraper(gateway),
        ):
            features.must_ask_for_key(gateway)
            load = Load(programs.load, [load_core], plan.patience_s)
            runs = _in_turn(load, (nginx, gateway), plan)
            lost = features.thrown_away(gateway)
        features.must_have_told(mock, gateway.log, _answered(runs, gateway), lost)
    if any(lost.values()):
        click.echo(f"thrown away by the gateway: {lost}")
    return runs


def _answered(runs: Runs, subject: Subject) -> int:
    mine = [rounds for (_, _, who), rounds in runs.items() if who == subject.name]
    return sum(each.requests for rounds in mine for each in rounds)


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
    layout = lay_out(cores, workers=1, feeders=2)
    mock_core, load_core = layout.feeders
    into.mkdir(parents=True, exist_ok=True)
    with (
        running_mock(programs, folder, [mock_core]) as mock,
        running_gateway([mock], folder, layout.workers) as gateway,
    ):
        load = Load(programs.load, [load_core], plan.patience_s)
        for path, name, scenario in plan.runs():
            file = into / f"{path}-{name}.svg"
            with recording(gateway.workers[0], file, [load_core]):
                load.measure(gateway, path, scenario)
            click.echo(f"  {file}")
