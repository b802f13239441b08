"""Ports for replicas: each is given to one launch at a time, in every process of this host.

A reservation is an abstract Unix socket named after the port: the kernel gives it back when its
holder dies, and it lives in the same network namespace as the port itself.
"""

import socket
from contextlib import closing
from pathlib import Path

from backends.launcher import CapacityError

DEFAULT_RANGE = range(21000, 22000)
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """Gives out ports of one range, in turn, so that one just freed rests."""

    def __init__(self, ports: range = DEFAULT_RANGE, host: str = "127.0.0.1") -> None:
        """Prefer those of ``ports`` that the kernel does not give to outgoing connections."""
        self._host = host
        outside, inside = _split(ports)
        self._ports = [*outside, *inside]
        self._next = 0
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """Reserve a port on which nothing listens.

        Raises:
            CapacityError: none is free.
        """
        for step in range(len(self._ports)):
            port = self._ports[(self._next + step) % len(self._ports)]
            if self.reserve(port):
                if _bindable(self._host, port):
                    self._next = (self._next + step + 1) % len(self._ports)
                    return port
                self.free(port)
        first, last = min(self._ports), max(self._ports)
        raise CapacityError(f"no free port for a replica between {first} and {last}")

    def reserve(self, port: int) -> bool:
        """Reserve this port, as for a replica that was adopted; False if somebody holds it."""
        if port in self._held:
            return False
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0trtgw-port-{port}")
        except OSError:
            mark.close()
            return False
        self._held[port] = mark
        return True

    def free(self, port: int) -> None:
        """Give a port back; one that is not held is no error."""
        mark = self._held.pop(port, None)
        if mark is not None:
            mark.close()

    def close(self) -> None:
        """Give all back."""
        for port in list(self._held):
            self.free(port)


def _split(ports: range) -> tuple[list[int], list[int]]:
    """Return the ports outside and inside the ephemeral range."""
    try:
        low, high = map(int, _EPHEMERAL.read_text(encoding="ascii").split())
    except OSError:  # no /proc/sys in some sandboxes
        low, high = 32768, 60999
    inside = [port for port in ports if low <= port <= high]
    return [port for port in ports if not low <= port <= high], inside


def _bindable(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself does
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
