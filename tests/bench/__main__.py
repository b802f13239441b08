"""``python -m tests.bench``: what ``make bench`` and ``make bench-scale`` run.

Everything is in a temporary folder and on free ports, and ends with the command, also on
Ctrl-C.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from tests.bench import comparing, page, report, scaling
from tests.bench.building import CannotMeasure, Programs, build
from tests.bench.layout import physical_cores
from tests.bench.machine import in_words, machine
from tests.bench.processes import allow_many_connections, unwind_on_signals
from tests.bench.scenarios import PATHS, SCENARIOS, USUAL
from tests.bench.subjects import nginx_version
from tests.bench.tables import as_text

_PATH = click.Choice(list(PATHS))
_FIGURES = click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Keep the figures in this folder; docs/figures: and write them into the page.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure the gateway's data plane."""
    allow_many_connections()
    unwind_on_signals()


def _names(_context: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if unknown := set(names) - set(SCENARIOS):
        known = ", ".join(SCENARIOS)
        raise click.BadParameter(f"no scenario {', '.join(sorted(unknown))}; there are {known}")
    return names


def _counts(_context: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(word) for word in value.split(","))
    except ValueError:
        raise click.BadParameter("must be numbers with commas between them") from None
    if min(counts) < 1:
        raise click.BadParameter("must be 1 or more")
    return counts


@main.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--scenarios", default=",".join(USUAL), show_default=True, callback=_names, metavar="A,B"
)
@click.option("--path", "paths", multiple=True, default=list(PATHS), type=_PATH)
@click.option("--patience", default=5.0, show_default=True, help="Seconds to wait for quiet.")
@click.option(
    "--profile",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Measure nothing: record the worker in each scenario with py-spy, into FOLDER.",
)
@_FIGURES
def compare(
    rounds: int,
    scenarios: tuple[str, ...],
    paths: tuple[str, ...],
    patience: float,
    profile: Path | None,
    figures: Path | None,
) -> None:
    """Measure the gateway beside nginx, in interleaved rounds."""
    chosen = {name: SCENARIOS[name] for name in scenarios}
    plan = comparing.Plan(paths, chosen, rounds, patience)
    with _workshop() as (programs, folder):
        cores = physical_cores()
        if profile is not None:
            comparing.record(plan, programs, folder, cores, profile)
            return
        runs = comparing.compare(plan, programs, folder, cores)
    lines = report.lines(runs)
    for path in paths:
        rows = [asdict(line) for line in lines if line.path == path]
        click.echo(f"\n{PATHS[path]}, medians of {rounds} rounds")
        click.echo(as_text(report.COLUMNS, rows))
    measured_on = machine(nginx=nginx_version())
    click.echo(f"\n{in_words(measured_on)}\n{report.FOOTNOTE}")
    _fail_for(report.failures(runs))
    _keep(figures, "data_plane", report.as_json(runs, measured_on))


@main.command()
@click.option(
    "--workers", default="1,2,4,8", show_default=True, callback=_counts, metavar="N,N"
)
@click.option("--path", default="chat", show_default=True, type=_PATH)
@click.option("--seconds", default=4.0, show_default=True, help="How long each look lasts.")
@_FIGURES
def scale(workers: tuple[int, ...], path: str, seconds: float, figures: Path | None) -> None:
    """Measure how the gateway scales over workers, each on a core of its own."""
    steps = []
    with _workshop() as (programs, folder):
        cores = physical_cores()
        looks = scaling.Looks(seconds)
        for step in scaling.measure_steps(programs, folder, cores, workers, path, looks):
            steps.append(step)
            click.echo(f"{step.workers} worker(s) measured")
    measured_on = machine()
    kept = scaling.as_json(steps, path, measured_on)
    click.echo(f"\n{PATHS[path]}\n{as_text(scaling.COLUMNS, kept['steps'])}")
    click.echo(f"\n{in_words(measured_on)}\n{scaling.FOOTNOTE}")
    _fail_for(scaling.failures(steps))
    _keep(figures, "scaling", kept)


@main.command("page")
def write_page() -> None:
    """Write the kept figures into docs/performance.md."""
    page.write()
    click.echo(f"  docs/{page.PAGE.name}")


@contextmanager
def _workshop() -> Iterator[tuple[Programs, Path]]:
    """Yield the compiled programs and a folder; tell what cannot be measured in one line."""
    try:
        with TemporaryDirectory(prefix="trtgw-bench-") as name:
            yield build(Path(name)), Path(name)
    except CannotMeasure as problem:
        raise click.ClickException(str(problem)) from None


def _keep(folder: Path | None, name: str, figures: Mapping[str, Any]) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    if folder.resolve() == page.FIGURES:
        page.write()


def _fail_for(failures: Sequence[str]) -> None:
    """End with 1, before anything is kept, where requests failed."""
    if failures:
        click.echo("\n".join(failures), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
