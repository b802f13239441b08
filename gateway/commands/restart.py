"""``restart``: a running gateway starts anew, with its configuration and code of now."""

import time

import click

from gateway.commands.admin_client import AdminClient, with_admin
from gateway.commands.examples import examples
from gateway.commands.failures import fail

_LONGEST_S = 60.0
_LOOK_S = 0.2


@click.command(epilog=examples("restart"))
@with_admin
def restart(admin: AdminClient) -> None:
    """Start a running gateway anew, with the configuration and code that are there now.

    Its ports stay open, replicas run on, and no stream is cut. If the configuration does not
    hold, all goes on as before. SIGHUP asks for the same.
    """
    before = admin.request("GET", "/healthz")["run"]
    admin.request("POST", "/admin/config/reload")
    click.echo("It starts anew ...")
    ends_at = time.monotonic() + _LONGEST_S
    while time.monotonic() < ends_at:
        run = admin.request("GET", "/healthz")["run"]
        if run != before and admin.succeeds("/readyz"):
            click.echo("It serves. Workers of before finish what they have.")
            return
        time.sleep(_LOOK_S)
    fail(f"after {_LONGEST_S:g} s its new workers do not serve yet; see its log")
