"""Ends the waiting of connections whose client does not do its part in time.

One timer looks over all connections of a server that wait; a timer each would cost every
request more than the whole check of its head. So a wait ends late, by up to one look.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from gateway.core.http_rules import DATA_PORT, HeadRules
from gateway.dataplane.refused import Show, as_openai

KEEP_ALIVE_S = 75.0
"""Above what load balancers keep idle connections for, so that it is them who close."""
_LOOK_S = 0.5
_LOOKS = 4
"""A limit passes at least this often under the eye of the watch."""


@dataclass(frozen=True, slots=True)
class PortLimits:
    """What a client may do on one port, and how it is told of more."""

    header_s: float = 5.0
    """For a request's head, from its first byte; for that, from the connection."""
    body_s: float = 30.0
    """For a request's body; one that keeps coming gets more (`GuardedProtocol`)."""
    keep_alive_s: float = KEEP_ALIVE_S
    """Between an answer and the next request."""
    rules: HeadRules = DATA_PORT
    connections: int | None = None
    """At once; further ones wait until others have left. None: no limit."""
    show: Show = as_openai
    """Of a refusal."""


class Waiting(Protocol):
    """A connection, as its watch sees it."""

    due: float | None
    """Loop time when its wait for the client has been too long; None: it does not wait."""

    def overdue(self, at: float) -> None:
        """End the wait, or begin another; once for each that was too long."""
        ...


class Watch:
    """The eye on the connections of one server; nobody starts it or stops it."""

    def __init__(self, limits: PortLimits) -> None:
        """Watch nothing yet."""
        self.limits = limits
        self.ending = False
        """Whether each answer is the last one of its connection."""
        self._loop = asyncio.get_running_loop()
        self._step_s = min(_LOOK_S, limits.header_s / _LOOKS, limits.body_s / _LOOKS)
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0

    def wait(self, connection: Waiting, seconds: float) -> None:
        """Call `Waiting.overdue` in so many seconds, unless the wait ends before."""
        connection.due = self._loop.time() + seconds
        self._waiting.add(connection)
        if self._timer is None:
            self._look_later()

    def forget(self, connection: Waiting) -> None:
        """Never call it again."""
        self._waiting.discard(connection)

    def _look(self) -> None:
        at = self._loop.time()
        # While the loop stood still nobody was heard; what came is read before the next look.
        late_s = at - self._look_at
        for connection in tuple(self._waiting):
            if connection.due is None:
                self._waiting.discard(connection)
            elif connection.due + late_s <= at:
                connection.due = None
                connection.overdue(at)
        self._timer = None
        if self._waiting:
            self._look_later()

    def _look_later(self) -> None:
        self._look_at = self._loop.time() + self._step_s
        self._timer = self._loop.call_at(self._look_at, self._look)
