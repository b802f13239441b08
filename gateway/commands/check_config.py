"""``check-config``: what ``serve`` would say of a configuration file, without starting."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click

from gateway.commands.examples import examples
from gateway.config.checks import unused
from gateway.config.loading import Loaded, read
from gateway.config.problems import ConfigInvalid, KeyPath, Problem, dotted
from gateway.config.schema import Config

_CONNECT_S = 2.0


@click.command(name="check-config", epilog=examples("check-config gateway.yaml"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.pass_context
def check_config(ctx: click.Context, /, file: Path) -> None:
    """Say what is wrong with a configuration file, line by line; exit 1 if anything is.

    TRTGW_ variables of the environment count, as they do for serve.
    """
    try:
        loaded = read(file, os.environ)
    except ConfigInvalid as error:
        click.echo(str(error))
        ctx.exit(1)
    for warning in sorted(_warnings(loaded), key=lambda warning: warning.place.line or 0):
        click.echo(f"{warning.place}: {warning.path}: warning: {warning.message}")
    click.echo(f"OK: {file}")
    for line in _summary(loaded.config):
        click.echo(f"  {line}")


def _warnings(loaded: Loaded) -> Iterable[Problem]:
    findings = [*unused(loaded.config), *asyncio.run(_unreachable(loaded.config))]
    return [Problem(loaded.document.place(at), dotted(at), said) for at, said in findings]


async def _unreachable(config: Config) -> list[tuple[KeyPath, str]]:
    """Try all static replicas at once; one that is away is served once it comes."""
    urls: list[tuple[KeyPath, str]] = [
        (("static", j), url) for j, url in enumerate(config.static)
    ]
    for i, model in enumerate(config.models):
        urls += [(("models", i, "static", j), url) for j, url in enumerate(model.static)]
    answers = await asyncio.gather(*(_connect(url) for _, url in urls))
    return [
        (path, f"{url} does not answer now ({why}); it is served once it does")
        for (path, url), why in zip(urls, answers, strict=True)
        if why is not None
    ]


async def _connect(url: str) -> str | None:
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.close()
            await writer.wait_closed()
    except TimeoutError:
        return f"no connection within {_CONNECT_S:g} s"
    except OSError as error:
        return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return None


def _summary(config: Config) -> Sequence[str]:
    server, admin = config.server, config.admin
    keys = f"{len(config.auth.keys)} API keys" if config.auth.asks_for_key else "no key needed"
    tokens = "token needed" if admin.asks_for_token else "no token needed"
    lines = [
        f"data port   http://{server.host}:{server.port}  ({keys})",
        f"admin port  http://{admin.host}:{admin.port}  ({tokens})",
    ]
    for model in config.resolved_models():
        parts = [f"{len(model.static)} static"] if model.static else []
        if model.replicas.initial or not model.static:
            parts.append(f"{model.replicas.initial} by launcher {model.launcher}")
        lines.append(f"model       {model.name}  ({', '.join(parts)})")
    lines += [f"replica     {url}  (its model is discovered)" for url in config.static]
    return lines
