"""``python -m tests.bench compare|scale``: what ``make bench`` and ``make bench-scale`` run."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.bench import report
from tests.bench.building import CannotMeasure, build
from tests.bench.measuring import Load
from tests.bench.processes import allow_many_connections, unwind_on_signals
from tests.bench.rounds import Runs, Scraper, measure_in_turn
from tests.bench.scenarios import PATHS, SCENARIOS, USUAL
from tests.bench.subjects import running_gateway, running_mock, running_nginx


@click.group()
def main() -> None:
    """Measure the gateway's data plane."""
    allow_many_connections()
    unwind_on_signals()


def _names(_context: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if unknown := set(names) - set(SCENARIOS):
        raise click.BadParameter(f"no scenario {', '.join(sorted(unknown))}")
    return names


@main.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--scenarios", default=",".join(USUAL), show_default=True, callback=_names, metavar="A,B"
)
@click.option(
    "--path", "paths", multiple=True, default=list(PATHS), type=click.Choice(list(PATHS))
)
@click.option("--patience", default=5.0, show_default=True, help="Seconds to wait for quiet.")
@click.option("--figures", type=click.Path(path_type=Path), help="Keep the figures in here.")
def compare(
    rounds: int,
    scenarios: tuple[str, ...],
    paths: tuple[str, ...],
    patience: float,
    figures: Path | None,
) -> None:
    """Measure the gateway beside nginx, in interleaved rounds."""
    plan = [(path, name) for path in paths for name in scenarios]
    try:
        runs = _compared(plan, rounds, patience)
    except CannotMeasure as problem:
        raise click.ClickException(str(problem)) from None
    all_lines = report.lines(runs)
    for path in paths:
        click.echo(f"\n{PATHS[path]}, medians of {rounds} rounds\n{report.table(all_lines, path)}")
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        kept = report.as_json(runs, report.machine(os.cpu_count() or 1))
        (figures / "data_plane.json").write_text(json.dumps(kept, indent=1) + "\n")
    if failures := report.failures(runs):
        click.echo("\n".join(failures), err=True)
        sys.exit(1)


def _compared(plan: list[tuple[str, str]], rounds: int, patience_s: float) -> Runs:
    ours, *rest = sorted(os.sched_getaffinity(0))
    theirs = rest[-1:] or [ours]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="trtgw-bench-")))
        programs = build(folder)
        mock = stack.enter_context(running_mock(programs, folder, theirs))
        nginx = stack.enter_context(running_nginx(mock.port, folder, [ours]))
        gateway = stack.enter_context(running_gateway([mock], folder, [ours]))
        stack.enter_context(Scraper(gateway.admin_port or 0))
        load = Load(programs.load, theirs, patience_s)
        runs = measure_in_turn(load, (nginx, gateway), plan, rounds, lambda s: click.echo(s))
        if not mock.stats()["traces"]:
            raise CannotMeasure("no spans came: the gateway under test did not trace")
        return runs


if __name__ == "__main__":
    main()
