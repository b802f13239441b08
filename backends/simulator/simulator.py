"""One simulated server: its settings, its engine, and what is going on in it."""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random

from backends.simulator.dialects import Dialect
from backends.simulator.driver import Driver
from backends.simulator.engine import Engine
from backends.simulator.faults import Fault, FaultPlan
from backends.simulator.observations import Observations
from backends.simulator.outbox import Outbox
from backends.simulator.requestlog import RequestLog
from backends.simulator.response_store import ResponseStore
from backends.simulator.settings import Settings

log = logging.getLogger("backends.simulator")


@dataclass(slots=True)
class Simulator:
    """What the routes of one server share. All times but `wall` are of one monotonic clock."""

    settings: Settings
    engine: Engine
    driver: Driver
    faults: FaultPlan
    observations: Observations
    clock: Callable[[], float]
    wall: Callable[[], float]
    """Unix seconds, for ``created``."""
    new_id: Callable[[], str]
    """32 hexadecimal digits, different each time."""
    rng: Random
    requests: RequestLog = field(default_factory=RequestLog)
    outboxes: set[Outbox] = field(default_factory=set)
    """Streams under way."""
    healthy: bool = True
    exits_when_asked: bool = False
    """The next ``/health`` ends the server."""
    refused_tokens: int = 0
    """Requests that asked for less than one token."""
    clock_offset_s: float = 0.0
    responses: ResponseStore = field(default_factory=ResponseStore)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _engine_task: asyncio.Task[None] | None = None

    @property
    def dialect(self) -> Dialect:
        """Return the release that is imitated."""
        return self.settings.dialect

    def next_number(self) -> int:
        """Number an engine request; starts at 1 with the process."""
        return next(self._numbers)

    def replace_faults(self, faults: Iterable[Fault]) -> None:
        """Arm these faults instead; one that freezes the engine does so at once."""
        self.faults.replace(faults)
        self._obey_faults()

    def _obey_faults(self) -> None:
        self.driver.hold(held=self.faults.of_kind("frozen") is not None)

    async def run_engine(self) -> None:
        """Step the engine until it dies of a fault, or the caller is cancelled."""
        self._obey_faults()
        async with asyncio.TaskGroup() as tasks:
            self._engine_task = tasks.create_task(self.driver.run())

    def stop_engine(self) -> None:
        """End `run_engine`."""
        if self._engine_task is not None:
            self._engine_task.cancel()

    def silence_engine(self) -> None:
        """Let the engine die without a word: answers stop, ``/health`` tells for ever."""
        log.error("a rank was lost; the executor does not answer")
        self.healthy = False
        self.stop_engine()

    def fail_engine(self) -> None:
        """Let the engine die: every stream breaks, and the next ``/health`` ends the server."""
        log.error("fatal error in the executor loop: CUDA out of memory")
        self.healthy = False
        self.exits_when_asked = True
        self.stop_engine()
        for outbox in list(self.outboxes):
            outbox.end("CUDA out of memory")

    def interrupt(self) -> None:
        """Send SIGINT to this process, as the server's own error handlers do."""
        signal.raise_signal(signal.SIGINT)

    def crash(self) -> None:
        """Abort the process, without a core file."""
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()
