"""The supervisor's end of the bus: any number of workers, old generations among them.

A worker of an earlier supervisor run is welcome: it gets snapshots as long as it serves, and is
told to stand down once workers of this run have taken over.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from gateway.core.outlier import Outlier
from gateway.core.snapshot import FleetSnapshot
from gateway.state.bus import (
    SOCKET,
    Cover,
    Ejected,
    Garbled,
    Hello,
    Numbers,
    Publish,
    ReplicaFailed,
    Scrape,
    Serving,
    StandDown,
    ToSupervisor,
    ToWorker,
    frame,
    from_worker,
    socket_path,
)

_LOG = logging.getLogger(__name__)


class WorkerLink:
    """One connected worker."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Know nothing of it yet."""
        self._writer = writer
        self.hello: Hello | None = None
        self.serving = False
        self.standing_down = False
        self.label = ""
        self.covers: tuple[int, ...] = ()
        self.numbers: dict[int, asyncio.Future[bytes]] = {}

    def send(self, message: ToWorker) -> None:
        """Send a message; a worker that has gone gets none."""
        if not self._writer.is_closing():
            self._writer.write(frame(message))

    def close(self) -> None:
        """End the connection and whatever waits for it."""
        self._writer.close()
        for waiting in self.numbers.values():
            waiting.cancel()


class Hub:
    """Every worker of this state directory."""

    def __init__(
        self,
        generation: str,
        *,
        workers: int = 1,
        sockets: int = 1,
        on_failed: Callable[[str], None],
        on_ejected: Callable[[Outlier], None],
    ) -> None:
        """Own the ``workers`` of ``generation``, and meet those of earlier ones.

        They have so many ``sockets`` of the data port; socket i is worker i's, in turn.
        ``on_failed`` is told the id of each replica that failed an attempt, ``on_ejected``
        which one a worker leaves out; workers may say the same twice.
        """
        self.generation = generation
        self._workers = workers
        self._sockets = sockets
        self._on_failed = on_failed
        self._on_ejected = on_ejected
        self._listeners: list[Callable[[], None]] = []
        self._links: set[WorkerLink] = set()
        self._published: Publish | None = None
        self._ending: StandDown | None = None
        self._scrapes = 0
        self._server: asyncio.Server | None = None

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever a worker began to serve."""
        self._listeners.append(listener)

    async def open(self, state_dir: Path) -> None:
        """Listen; a socket that a killed supervisor left is replaced.

        Raises:
            OSError: the socket cannot be made.
        """
        (state_dir / SOCKET).unlink(missing_ok=True)
        with socket_path(state_dir) as path:
            old = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, path)
            finally:
                os.umask(old)

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()

    def publish(self, snapshot: FleetSnapshot) -> None:
        """Give every worker, and each one that comes later, this snapshot."""
        self._published = Publish(snapshot)
        for link in self._known():
            link.send(self._published)

    def serving(self) -> int:
        """Return how many workers of this run have the data port open."""
        return sum(link.serving for link in self._of_this_run())

    def connected(self) -> int:
        """Return how many workers are connected, old ones included."""
        return sum(1 for _ in self._known())

    def replace_old(self, grace_s: float) -> None:
        """Tell workers of earlier runs to finish what they have and to end."""
        mine = set(self._of_this_run())
        for link in self._known():
            if link not in mine:
                self._stand_down(link, StandDown(grace_s, succeeded=True))

    def stand_down_all(self, grace_s: float) -> None:
        """Tell every worker, and each one that comes later, to finish and to end."""
        self._ending = StandDown(grace_s)
        for link in self._known():
            link.standing_down = False
            self._stand_down(link, self._ending)

    async def scrape(self, timeout_s: float) -> dict[str, bytes]:
        """Return the numbers of each worker by its label; one that is late is left out."""
        self._scrapes += 1
        asked = {}
        for link in self._known():
            link.numbers[self._scrapes] = asyncio.get_running_loop().create_future()
            asked[link.label] = link.numbers[self._scrapes]
            link.send(Scrape(self._scrapes))
        if asked:
            await asyncio.wait(asked.values(), timeout=timeout_s)
        for link in self._known():
            link.numbers.pop(self._scrapes, None)
        return {
            label: answer.result()
            for label, answer in asked.items()
            if answer.done() and not answer.cancelled()
        }

    def _known(self) -> Iterator[WorkerLink]:
        return (link for link in list(self._links) if link.hello is not None)

    def _of_this_run(self) -> Iterator[WorkerLink]:
        for link in self._known():
            if link.hello is not None and link.hello.generation == self.generation:
                yield link

    def _label(self, hello: Hello) -> str:
        """Return a free name for a worker's series: two processes must never share one."""
        slot = str(hello.slot)
        if hello.generation == self.generation:
            return slot
        taken = {link.label for link in self._links}
        names = (f"{slot}.old{number or ''}" for number in count())
        return next(name for name in names if name not in taken)

    def _stand_down(self, link: WorkerLink, order: StandDown) -> None:
        if not link.standing_down:
            link.standing_down = True
            link.serving = False
            link.send(order)

    def _cover(self) -> None:
        """Have the workers that serve see to the sockets of those that do not."""
        able = [link for link in self._of_this_run() if link.serving]
        slots = {link.hello.slot for link in able if link.hello is not None}
        left = tuple(i for i in range(self._sockets) if i % self._workers not in slots)
        for link in able:
            if link.covers != left:
                link.covers = left
                link.send(Cover(left))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = WorkerLink(writer)
        self._links.add(link)
        try:
            async for message in from_worker(reader):
                self._take(link, message)
        except Garbled as wrong:
            _LOG.warning("a worker speaks another version of the bus: %s", wrong)
        finally:
            self._links.discard(link)
            link.close()
            self._cover()

    def _welcome(self, link: WorkerLink, hello: Hello) -> None:
        link.label = self._label(hello)
        link.hello = hello
        if self._published is not None:
            link.send(self._published)
        if self._ending is not None:
            self._stand_down(link, self._ending)

    def _take(self, link: WorkerLink, message: ToSupervisor) -> None:
        match message:
            case Hello():
                self._welcome(link, message)
            case Serving():
                link.serving = not link.standing_down
                self._cover()
                for listener in self._listeners:
                    listener()
            case Numbers():
                waiting = link.numbers.pop(message.id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message.dump)
            case ReplicaFailed():
                self._on_failed(message.replica)
            case Ejected():
                self._on_ejected(message.outlier)
