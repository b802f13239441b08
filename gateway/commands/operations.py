"""Follow what takes time: an operation, step by step, to its end."""

from typing import Any

import click

from gateway.commands.admin_client import AdminClient
from gateway.commands.failures import dump_json, fail

WAIT = click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Follow it to its end."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def finish(
    admin: AdminClient,
    operation: dict[str, Any],
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Print an operation; with ``wait`` follow it to its end, and fail if it does."""
    last = operation
    if wait:
        path = f"/admin/operations/{operation['id']}"
        for last in admin.follow(path, {"follow": "true"}):
            if not as_json:
                click.echo(_step(last))
    if as_json:
        dump_json(last)
    elif not wait:
        click.echo(f"operation {last['id']}: {last['kind']} is under way")
    if last["state"] == "failed":
        fail(last["error"] or "the operation failed")


def _step(operation: dict[str, Any]) -> str:
    share = operation["progress"]
    done = "" if share is None else f"{share:4.0%}  "
    about = operation["replica_id"] or operation["model"] or operation["id"]
    return f"{operation['kind']} {about}  {done}{operation['step'] or operation['state']}"
