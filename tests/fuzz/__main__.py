"""``python -m tests.fuzz``: what ``make fuzz`` runs."""

import sys

import click

from tests.fuzz.running import grown, run, why_not, worth_keeping
from tests.fuzz.targets import TARGETS


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--target",
    "names",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    help="May be repeated; default: all.",
)
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(1))
@click.option("--keep", is_flag=True, help="Put what is worth it into the committed corpus.")
def main(names: tuple[str, ...], seconds: int, *, keep: bool) -> None:
    """Fuzz the gateway's parsers by coverage; a finding is a file that the tests replay.

    \b
    Example:
      python -m tests.fuzz --target sse --seconds 600
    """
    if (reason := why_not()) is not None:
        raise click.ClickException(reason)
    findings = 0
    for name in names or TARGETS:
        target = TARGETS[name]
        came = run(target, seconds)
        findings += came.findings
        if came.findings:
            click.echo(came.said)
        elif keep:
            target.keep(iter(worth_keeping(target, grown(target))))
        click.echo(
            f"{name}: {came.executions:,} executions in {came.seconds:.0f} s, "
            f"{came.branches} branches, {came.findings} findings in {target.findings_folder}"
        )
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
