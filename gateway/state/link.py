"""A worker's end of the bus: keeps looking for a supervisor, and hands on what it says.

While there is none the worker goes on with what it has; after a while alone it ends by itself,
so that a killed gateway leaves nothing behind for ever.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.state.bus import (
    Cover,
    Garbled,
    Hello,
    Publish,
    Scrape,
    Serving,
    StandDown,
    ToSupervisor,
    ToWorker,
    frame,
    from_supervisor,
    socket_path,
)

_LOG = logging.getLogger(__name__)
RETRY_S = 0.1
ALONE_S = 300.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What to do with what the supervisor says."""

    publish: Callable[[Publish], None]
    scrape: Callable[[Scrape], None]
    stand_down: Callable[[StandDown], None]
    cover: Callable[[Cover], None]


class SupervisorLink:
    """Speaks to whichever supervisor owns the state directory."""

    def __init__(self, state_dir: Path, hello: Hello, *, alone_s: float = ALONE_S) -> None:
        """Introduce itself with ``hello``; give up after ``alone_s`` with nobody there."""
        self._state_dir = state_dir
        self._hello = hello
        self._alone_s = alone_s
        self._writer: asyncio.StreamWriter | None = None
        self._serving = False

    def send(self, message: ToSupervisor) -> None:
        """Send, or drop it while there is no supervisor: all of it can be said again."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(message))

    def serving(self) -> None:
        """Tell this supervisor, and each later one, that the data port is open."""
        self._serving = True
        self.send(Serving())

    async def run(self, orders: Orders) -> None:
        """Follow orders until no supervisor has been there for the time allowed."""
        loop = asyncio.get_running_loop()
        last_seen = loop.time()
        while loop.time() - last_seen < self._alone_s:
            try:
                with socket_path(self._state_dir) as path:
                    reader, self._writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            await self._listen(reader, orders)
            last_seen = loop.time()
        _LOG.warning("no supervisor for %g s: this worker drains and ends", self._alone_s)

    async def _listen(self, reader: asyncio.StreamReader, orders: Orders) -> None:
        self.send(self._hello)
        if self._serving:
            self.send(Serving())
        try:
            async for message in from_supervisor(reader):
                _carry_out(orders, message)
        except Garbled as wrong:
            _LOG.warning("the supervisor speaks another version: %s", wrong)
            await asyncio.sleep(RETRY_S)
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None


def _carry_out(orders: Orders, message: ToWorker) -> None:
    match message:
        case Publish():
            orders.publish(message)
        case Scrape():
            orders.scrape(message)
        case StandDown():
            orders.stand_down(message)
        case Cover():
            orders.cover(message)
