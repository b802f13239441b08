"""Find the addresses of replicas that are known by name, and outlive the name service.

Rule: a name that was found once is never waited for again: an answer that has grown old is used
while the next one is on its way, and for as long as none comes. A name service that is slow or
gone must not look like replicas that are.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.core.errors import UpstreamUnresolved

FRESH_S = 5.0
"""How old an answer may grow before it is asked for again: the system's own cache, where there
is one, keeps what the name service says."""
Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises OSError for none."""


@dataclass(slots=True)
class _Known:
    addresses: Sequence[str]
    at: float


class Addresses:
    """The addresses of the hosts that a worker speaks to."""

    def __init__(self, lookup: Lookup | None = None) -> None:
        """Ask ``lookup``; None: the system."""
        self._lookup = lookup or _system
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def of(self, host: str) -> Sequence[str]:
        """Return the addresses of ``host``, in the order in which they should be tried.

        Raises:
            UpstreamUnresolved: there is none, and never was.
        """
        known = self._known.get(host)
        if known is None:
            self._begin_to_ask(host)
            await asyncio.shield(self._asking[host])
            known = self._known.get(host)
            if known is None:
                raise UpstreamUnresolved("the replica's host has no address")
        elif asyncio.get_running_loop().time() - known.at > FRESH_S:
            self._begin_to_ask(host)
        return known.addresses

    def knows(self, host: str) -> bool:
        """Say whether ``host`` was ever found."""
        return host in self._known

    def keep_only(self, hosts: "set[str]") -> None:
        """Forget the other hosts."""
        for gone in self._known.keys() - hosts:
            del self._known[gone]

    def _begin_to_ask(self, host: str) -> None:
        """Ask for ``host``, unless that is under way."""
        if host not in self._asking:
            learning = asyncio.get_running_loop().create_task(self._learn(host))
            self._asking[host] = learning

    async def _learn(self, host: str) -> None:
        try:
            addresses = await self._lookup(host)
        except OSError:
            addresses = ()
        finally:
            del self._asking[host]
        if addresses:
            self._known[host] = _Known(addresses, asyncio.get_running_loop().time())


def is_address(host: str) -> bool:
    """Say whether ``host`` is an address itself."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _system(host: str) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [*dict.fromkeys(str(address[0]) for *_, address in found)]
