"""How commands end: with JSON, or a message and exit code 1; wrong usage is click's own 2."""

from typing import NoReturn

import click


def fail(message: str) -> NoReturn:
    """End the command with ``message``."""
    raise click.ClickException(message)


def dump_json(value: object) -> None:
    """Print ``value`` for machines."""
    import msgspec  # noqa: PLC0415 - `--help` does not need it

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
