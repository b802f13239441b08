"""``python -m tests.chaos``: what ``make chaos`` runs.

Everything is in a temporary folder and on free ports, and ends with the command, also on
Ctrl-C.
"""

import asyncio
import io
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import click
import pytest

from tests.bench.processes import allow_many_connections, unwind_on_signals
from tests.chaos.calls import Call, make_calls
from tests.chaos.faults import KINDS, By, Schedule
from tests.chaos.latency import added_latency
from tests.chaos.report import Report
from tests.chaos.running import LIMIT_S, run
from tests.chaos.stand import CHANGES, standing

_SIMULATED = "what `trtllm-gateway sim` does with --fault "
_FAULTS = "\b\nFaults:\n" + "".join(
    f"  {kind.name:<17} {_SIMULATED * (kind.by is By.SIMULATOR)}{kind.effect}\n"
    for kind in KINDS.values()
)
T = TypeVar("T")
_DIRECT_LIMIT_S = 5.0
_GATEWAY = "gateway"


def _names(_context: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(filter(None, value.split(",")))
    known = [kind.name for kind in KINDS.values() if kind.by is not By.WINDOW]
    if unknown := sorted(set(names) - set(known)):
        raise click.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_FAULTS)
@click.option(
    "--seed", type=int, help="Of all that is random; default: a new one, which is told."
)
@click.option("--streams", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--concurrency", default=80, show_default=True, type=click.IntRange(4))
@click.option(
    "--kinds",
    default="",
    metavar="A,B",
    callback=_names,
    help="Only these faults, and no windows; default: all.",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice([_GATEWAY, *CHANGES]),
    help="Take this away, and see what it is good for; may be repeated.",
)
@click.option("--latency", default=0, metavar="N", help="Measure N faults of a kind instead.")
def main(
    seed: int | None,
    streams: int,
    concurrency: int,
    kinds: tuple[str, ...],
    without: tuple[str, ...],
    latency: int,
) -> None:
    """Let replicas fail at random under a real gateway, and judge what its clients see.

    \b
    Example:
      python -m tests.chaos --seed 7 --streams 2000
    """
    allow_many_connections()
    unwind_on_signals()
    if latency:
        _say_latency(latency)
        return
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}: {streams} calls")
    began_at = time.monotonic()
    calls = list(make_calls(seed, streams))
    report = _quietly(
        partial(_report, Schedule(seed, kinds=kinds), calls, concurrency, without)
    )
    click.echo(f"\n{report.table()}\n\n" + "\n".join(report.examples))
    click.echo(f"{report.sins} sins in {streams} calls, {time.monotonic() - began_at:.0f} s")
    sys.exit(bool(report.sins))


async def _report(
    schedule: Schedule,
    calls: Sequence[Call],
    concurrency: int,
    without: Sequence[str],
    folder: Path,
) -> Report:
    changes = [change for change in without if change != _GATEWAY]
    direct = _GATEWAY in without
    report = Report()
    async with standing(folder, schedule.strike, gateway=not direct, changes=changes) as stand:
        judged = await run(
            stand,
            calls,
            concurrency=concurrency,
            schedule=None if direct or schedule.chosen else schedule,
            limit_s=_DIRECT_LIMIT_S if direct else LIMIT_S,
        )
    report.add(judged)
    return report


def _say_latency(samples: int) -> None:
    for fault, figures in _quietly(lambda folder: added_latency(folder, samples)).items():
        said = ", ".join(f"{name} {value:g}" for name, value in figures.items())
        click.echo(f"{fault}: {said}")


def _quietly(go: Callable[[Path], Awaitable[T]]) -> T:
    """Run ``go`` in a folder of its own, without the log that a test would show."""
    with TemporaryDirectory(prefix="trtgw-chaos-") as name:
        said = io.StringIO()
        try:
            with redirect_stdout(said):
                return asyncio.run(go(Path(name)))
        except (pytest.fail.Exception, AssertionError) as problem:
            raise click.ClickException(f"{problem}\n{said.getvalue()[-4000:]}") from None


if __name__ == "__main__":
    main()
