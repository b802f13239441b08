"""Keep the worker processes running, and tell each at its start all that it needs.

A worker that dies is replaced at once; one that dies again and again right after its start
waits longer each time, so that a broken installation does not spin.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.state.link import ALONE_S
from gateway.telemetry.tracing import TracingSettings

_LOG = logging.getLogger(__name__)
_EARLY_S = 5.0
"""A worker that lives shorter than this died of its start."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """All that a worker is told at its start."""

    slot: int
    generation: str
    """Id of the supervisor run that starts it."""
    state_dir: str
    sockets: tuple[int, ...]
    """Descriptors of all sockets of the data port."""
    own: tuple[int, ...]
    """Places in ``sockets`` of those that it accepts from as long as it serves."""
    version: str
    header_s: float = 5.0
    """How long a client may take to send its request's head."""
    body_s: float = 30.0
    """How long it may take for the body."""
    grace_s: float = 600.0
    """How long running requests may take when it ends by itself or by a signal."""
    alone_s: float = ALONE_S
    tracing: TracingSettings = field(default_factory=TracingSettings)
    log_level: str = "info"


class Workers:
    """The worker processes of one supervisor run."""

    def __init__(
        self,
        count: int,
        command: Callable[[int], Sequence[str]],
        *,
        env: Mapping[str, str],
        descriptors: Sequence[int] = (),
        on_exit: Callable[[], None],
    ) -> None:
        """Run ``count`` workers, slot by slot started as ``command(slot)``.

        Each inherits the ``descriptors``. ``on_exit`` is called whenever one ended.
        """
        self._count = count
        self._command = command
        self._env = dict(env)
        self._descriptors = descriptors
        self._on_exit = on_exit
        self._ending = False
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        """Keep all running until `end`, then return when the last one ended."""
        async with asyncio.TaskGroup() as tasks:
            for slot in range(self._count):
                tasks.create_task(self._keep(slot))

    def end(self) -> None:
        """Start no more: those that run end when they are told over the bus."""
        self._ending = True

    def kill(self) -> None:
        """End all that still run, at once."""
        self._ending = True
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)

    async def _keep(self, slot: int) -> None:
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while not self._ending:
            started_at = loop.time()
            end = await self._live(slot)
            early = loop.time() - started_at < _EARLY_S
            pause_s = min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S) if early else 0.0
            if not self._ending:
                _LOG.error("worker %d %s; a new one starts", slot, end)
                await asyncio.sleep(pause_s)

    async def _live(self, slot: int) -> str:
        """Start a worker and return, when it has ended, how."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(slot),
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=self._descriptors,
                # Its own session: Ctrl-C in a terminal is for the supervisor, which ends
                # workers in order.
                start_new_session=True,
            )
        except OSError as problem:  # no memory, no process left: it may pass
            return f"could not be started ({problem})"
        self._processes[slot] = process
        code = await process.wait()
        del self._processes[slot]
        self._on_exit()
        return f"ended with code {code}"
