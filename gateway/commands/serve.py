"""``serve``: the gateway itself."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

from gateway.commands.examples import examples
from gateway.config.loading import DEMO, NOTHING, load
from gateway.config.problems import ConfigInvalid, KeyPath
from gateway.config.sources import Document, at_flags

_KEYS: Mapping[str, KeyPath] = {
    "host": ("server", "host"),
    "port": ("server", "port"),
    "admin_host": ("admin", "host"),
    "admin_port": ("admin", "port"),
    "workers": ("server", "workers"),
}
"""Option -> the key that it overrides."""


@click.command(
    epilog=examples(
        "serve --demo",
        "serve --replica http://127.0.0.1:8000",
        "serve --config gateway.yaml --workers 4",
    )
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="YAML file; see check-config.",
)
@click.option("--host", help="Address of the data port.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Data port, for clients.  [default: 8080]")
@click.option("--admin-host", help="Address of the admin port.  [default: 127.0.0.1]")
@click.option("--admin-port", type=int, help="Admin port, for operators.  [default: 8081]")
@click.option("--workers", help="Worker processes, or auto.  [default: auto, one per core]")
@click.option(
    "--replica",
    multiple=True,
    metavar="URL",
    help="A running trtllm-serve; its model is discovered. May be repeated.",
)
@click.option("--demo", is_flag=True, help="Start two models on simulated replicas.")
@click.pass_context
def serve(
    ctx: click.Context,
    /,
    *,
    config: Path | None,
    replica: tuple[str, ...],
    demo: bool,
    **options: str | int | None,
) -> None:
    """Run the gateway.

    Options win over TRTGW_ variables of the environment, and those over the file.
    """
    try:
        base = DEMO if demo else NOTHING
        flags = _flags(options)
        settings = load(config, os.environ, flags=flags, replicas=replica, base=base)
    except ConfigInvalid as error:
        click.echo(str(error), err=True)
        click.echo("Not started: the configuration has the problems above.", err=True)
        ctx.exit(1)
    # Only now: a wrong option must not wait for it.
    from gateway.rehearsal import problems, rehearsed  # noqa: PLC0415 - see above
    from gateway.supervisor import run  # noqa: PLC0415 - see above

    before = rehearsed(os.environ)
    if before is None:
        ctx.exit(run(settings))
    for problem in (found := problems(settings, before)):
        click.echo(problem, err=True)
    ctx.exit(1 if found else 0)


def _flags(options: Mapping[str, str | int | None]) -> Document:
    return at_flags(
        {
            _KEYS[name]: (f"--{name.replace('_', '-')}", value)
            for name, value in options.items()
            if value is not None
        }
    )
