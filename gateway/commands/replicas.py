"""``replicas``: the admin API's replicas from a shell."""

from typing import Any
from urllib.parse import quote

import click

from gateway.commands.admin_client import AdminClient, with_admin
from gateway.commands.examples import examples
from gateway.commands.failures import dump_json
from gateway.commands.operations import AS_JSON, WAIT, finish
from gateway.commands.tables import print_table

_GRACE = click.option(
    "--grace-s",
    type=click.FloatRange(0),
    help="How long running requests may take to finish.  [default: 300]",
)
_PATH = "/admin/replicas"


@click.group(
    epilog=examples(
        "replicas list",
        "replicas create llama-3.3-70b",
        "replicas drain ID --admin-url http://gateway:8081",
    )
)
def replicas() -> None:
    """See and change replicas of a running gateway."""


@replicas.command("list", epilog=examples("replicas list", "replicas list --json"))
@AS_JSON
@with_admin
def list_replicas(admin: AdminClient, /, *, as_json: bool) -> None:
    """List replicas."""
    items = admin.request("GET", _PATH)["items"]
    if as_json:
        dump_json(items)
        return
    columns = ("id", "model", "state", "in flight", "url", "launcher", "reason")
    rows = [[item[column.replace(" ", "_")] for column in columns] for item in items]
    print_table(columns, rows, "no replicas; start one: trtllm-gateway replicas create MODEL")


@replicas.command("get", epilog=examples("replicas get ID"))
@click.argument("replica_id", metavar="ID")
@with_admin
def get_replica(admin: AdminClient, /, replica_id: str) -> None:
    """Print all there is to know of one replica, as JSON."""
    dump_json(admin.request("GET", f"{_PATH}/{quote(replica_id, safe='')}"))


@replicas.command(
    "create",
    epilog=examples(
        "replicas create llama-3.3-70b",
        "replicas create llama-3.3-70b --precision fp8 --gpus 2 --dry-run",
        "replicas create llama-3.3-70b --set max_batch_size=256",
    ),
)
@click.argument("model")
@click.option("--launcher", help="process or sim.  [default: the model's]")
@click.option("--precision", help="fp8, nvfp4, ...  [default: the model's]")
@click.option("--gpus", type=click.IntRange(1), help="How many.  [default: as planned]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Engine option.")
@click.option("--idempotency-key", help="Repeating the command starts nothing new.")
@click.option("--dry-run", is_flag=True, help="Show what would be started.")
@WAIT
@AS_JSON
@with_admin
def create_replica(
    admin: AdminClient,
    /,
    *,
    idempotency_key: str | None,
    dry_run: bool,
    wait: bool,
    as_json: bool,
    overrides: tuple[str, ...],
    **wanted: str | int | None,
) -> None:
    """Start one more replica of a model."""
    body: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    body["overrides"] = dict(map(_override, overrides))
    answer = admin.request(
        "POST",
        _PATH,
        query={"dry_run": "true"} if dry_run else None,
        body=body,
        headers={"Idempotency-Key": idempotency_key},
    )
    if dry_run:
        dump_json(answer)
    else:
        finish(admin, answer, wait=wait, as_json=as_json)


@replicas.command("drain", epilog=examples("replicas drain ID --grace-s 60"))
@click.argument("replica_id", metavar="ID")
@_GRACE
@WAIT
@AS_JSON
@with_admin
def drain_replica(
    admin: AdminClient, /, replica_id: str, grace_s: float | None, *, wait: bool, as_json: bool
) -> None:
    """Let a replica finish its requests, then stop it; its record stays."""
    query = {"grace_s": grace_s}
    answer = admin.request("POST", f"{_PATH}/{quote(replica_id, safe='')}/drain", query=query)
    finish(admin, answer, wait=wait, as_json=as_json)


@replicas.command("delete", epilog=examples("replicas delete ID"))
@click.argument("replica_id", metavar="ID")
@_GRACE
@WAIT
@AS_JSON
@with_admin
def delete_replica(
    admin: AdminClient, /, replica_id: str, grace_s: float | None, *, wait: bool, as_json: bool
) -> None:
    """Let a replica finish its requests, stop it and forget it."""
    query = {"grace_s": grace_s}
    answer = admin.request("DELETE", f"{_PATH}/{quote(replica_id, safe='')}", query=query)
    finish(admin, answer, wait=wait, as_json=as_json)


@replicas.command("logs", epilog=examples("replicas logs ID --tail 20 --follow"))
@click.argument("replica_id", metavar="ID")
@click.option("--tail", type=click.IntRange(0, 10_000), default=100, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with each new line.")
@with_admin
def replica_logs(admin: AdminClient, /, replica_id: str, tail: int, *, follow: bool) -> None:
    """Print what a replica wrote."""
    path = f"{_PATH}/{quote(replica_id, safe='')}/logs"
    if follow:
        lines = admin.follow(path, {"tail": tail, "follow": "true"})
    else:
        lines = iter(admin.request("GET", path, query={"tail": tail})["items"])
    for event in lines:
        click.echo(event["line"])


def _override(text: str) -> tuple[str, Any]:
    import yaml  # noqa: PLC0415 - only this option needs it

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--set")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise click.BadParameter(f"{value!r} is not a value", param_hint="--set") from None
