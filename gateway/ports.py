"""Take the two ports before anything is started.

So that a clash is told at once and by name. The supervisor holds every socket of the data port
for as long as it runs: a worker that ends, however it ends, takes no connection with it that
waits to be accepted.
"""

import socket
from collections.abc import Sequence

from gateway.api.server import bound_socket


class PortTaken(Exception):  # noqa: N818 - names the condition
    """An address cannot be bound."""


def open_data_port(host: str, port: int, *, count: int, shared: bool) -> list[socket.socket]:
    """Bind the data port ``count`` times, without listening: workers will, when they are ready.

    Args:
        host: address.
        port: 0 for any free one.
        count: one for each worker.
        shared: workers of an earlier run of this gateway may still listen on it.

    Raises:
        PortTaken: somebody else has it.
    """
    try:
        if not shared:
            # SO_REUSEPORT would quietly share the port with another gateway of this user.
            with _plain(host, port):
                pass
        return more_sockets([bound_socket(host, port)], count)
    except OSError as problem:
        raise _taken("data", host, port, problem) from None


def more_sockets(held: Sequence[socket.socket], count: int) -> list[socket.socket]:
    """Return the sockets of a data port, and new ones where they are fewer than ``count``.

    None is ever closed for being one too many: a connection may wait there.

    Raises:
        OSError: the address cannot be bound again.
    """
    host, port = held[0].getsockname()[:2]
    return [*held, *(bound_socket(host, port) for _ in range(count - len(held)))]


def admin_socket(host: str, port: int) -> socket.socket:
    """Bind the admin port.

    Raises:
        PortTaken: somebody else has it.
    """
    try:
        return _plain(host, port)
    except OSError as problem:
        raise _taken("admin", host, port, problem) from None


def _plain(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _taken(which: str, host: str, port: int, problem: OSError) -> PortTaken:
    option = "--port" if which == "data" else "--admin-port"
    return PortTaken(
        f"the {which} port {host}:{port} cannot be opened ({problem.strerror}); stop what uses"
        f" it, or choose another with {option}"
    )
