"""Clients that are written to directly, on connections that keep what is written."""

import asyncio

from gateway.dataplane.direct import DirectClient
from tests.fakes.line import Line


def connected(*, keep_alive=True, **known):
    """Return a connection, and a client on it whose task is the running one."""
    line = Line(**known)
    client = DirectClient(
        line,
        "POST",
        [(b"host", b"h"), (b"a", b"1"), (b"a", b"2")],
        loop=asyncio.get_running_loop(),
        keep_alive=keep_alive,
        expects_continue=False,
    )
    client.task = asyncio.current_task()
    client.headers = [(b"x-request-id", b"q")]
    return line, client
