"""Print what runs where, once it does."""

import asyncio
import sys
from collections.abc import Callable
from socket import socket

from gateway.assembly import Assembly
from gateway.banner import Shown, banner
from gateway.fleet.fleet import Fleet

_LONGEST_S = 5.0
"""How long to wait for replicas before saying what there is so far."""
_LOOK_S = 0.05


async def greet(parts: Assembly) -> None:
    """Wait until the workers serve and the replicas are ready, then print the banner once."""
    if parts.again:
        return  # it was said at the first start, and where it runs has not changed
    config, opened = parts.config, parts.opened
    urls = _url(opened.data_sockets[0]), _url(opened.admin_socket)  # closed as it ends
    await _until(lambda: parts.hub.serving() >= parts.workers, _LONGEST_S)
    await _until(lambda: _all_ready(parts.fleet), _LONGEST_S)
    shown = Shown(
        data_url=urls[0],
        admin_url=urls[1],
        models=parts.fleet.models(),
        replicas=parts.fleet.replicas(),
        token_file=parts.token_file,
        asks_for_key=config.auth.asks_for_key,
        replicas_on_exit=config.server.replicas_on_exit,
    )
    sys.stdout.write(banner(shown, terminal=sys.stdout.isatty()))
    sys.stdout.flush()


def _all_ready(fleet: Fleet) -> bool:
    models = fleet.models()
    return bool(models) and all(model.ready >= model.desired for model in models)


def _url(sock: socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _until(check: Callable[[], bool], limit_s: float) -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + limit_s
    # Polled: what it waits for changes in several places, and nobody waits for it.
    while not check() and loop.time() < ends_at:  # noqa: ASYNC110 - see above
        await asyncio.sleep(_LOOK_S)
