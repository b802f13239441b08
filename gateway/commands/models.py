"""``models``: the admin API's models from a shell."""

from urllib.parse import quote

import click
from typing_extensions import override

from gateway.commands.admin_client import AdminClient, with_admin
from gateway.commands.examples import examples
from gateway.commands.failures import dump_json
from gateway.commands.operations import AS_JSON, WAIT, finish
from gateway.commands.tables import print_table

_PATH = "/admin/models"
_AUTO = "auto"


class _Replicas(click.ParamType[int | None]):
    """A number of replicas, or ``auto`` for the configuration's."""

    name = "n|auto"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Return the number; None for ``auto``."""
        if value == _AUTO:
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
        return self.fail(f"{value!r} is neither a number nor auto", param, ctx)


@click.group(epilog=examples("models list", "models scale llama-3.3-70b 3"))
def models() -> None:
    """See and change models of a running gateway."""


@models.command("list", epilog=examples("models list"))
@AS_JSON
@with_admin
def list_models(admin: AdminClient, /, *, as_json: bool) -> None:
    """List models."""
    items = admin.request("GET", _PATH)["items"]
    if as_json:
        dump_json(items)
        return
    columns = ("name", "status", "ready", "desired", "launcher", "scaled")
    rows = [
        [*(item[column] for column in columns[:-1]), _scaled(pinned=item["pinned"])]
        for item in items
    ]
    print_table(columns, rows, "no models; list some in the configuration, or serve --replica")


@models.command("scale", epilog=examples("models scale llama-3.3-70b 3"))
@click.argument("model")
@click.argument("replicas", type=click.IntRange(0, 1_000))
@WAIT
@AS_JSON
@with_admin
def scale_model(
    admin: AdminClient, /, model: str, replicas: int, *, wait: bool, as_json: bool
) -> None:
    """Want so many replicas of a model, until 'models set MODEL --replicas auto'."""
    answer = admin.request("POST", f"{_PATH}/{quote(model)}/scale", body={"replicas": replicas})
    finish(admin, answer, wait=wait, as_json=as_json)


@models.command(
    "set",
    epilog=examples(
        "models set llama-3.3-70b --replicas 3",
        "models set llama-3.3-70b --replicas auto",
    ),
)
@click.argument("model")
@click.option(
    "--replicas",
    type=_Replicas(),
    required=True,
    help="How many; auto: as many as the configuration says.",
)
@with_admin
def set_model(admin: AdminClient, /, model: str, replicas: int | None) -> None:
    """Change what is wanted of a model; print it as JSON."""
    dump_json(admin.request("PATCH", f"{_PATH}/{quote(model)}", body={"replicas": replicas}))


def _scaled(*, pinned: bool) -> str:
    return "by hand" if pinned else "as configured"
