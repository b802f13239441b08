"""The supervisor process: the control plane, from the lock on its state to the last end.

The order of `Supervisor.run` is the order in which things may fail: whatever refuses a start
does so before anything runs that would have to be stopped again.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

import uvloop
from litestar import Litestar

from backends.procfs import collect, dead_children
from gateway.api.admin import Views, create_admin_app
from gateway.api.health import Readiness
from gateway.api.problems import as_problem
from gateway.api.server import HttpServer
from gateway.assembly import Assembly, StartRefused, assemble
from gateway.config import Config
from gateway.config.settings import masked
from gateway.core.http_rules import ADMIN_PORT
from gateway.dataplane.watch import PortLimits
from gateway.greeting import greet
from gateway.handover import HandedOn, handed_on, leave, let_signals_in, own_command
from gateway.ports import PortTaken
from gateway.publishing import renderer
from gateway.rehearsal import fixed, rehearse
from gateway.state.home import StateDirInUse, StateDirUnusable
from gateway.state.liveness import is_alive
from gateway.worker_command import worker_command, worker_environ
from gateway.workers import Workers

_LOG = logging.getLogger(__name__)
_SWEEP_S = 1.0
_LOOK_S = 0.05
_KILL_AFTER_S = 2.0
_ADMIN_LINGER_S = 1
_START_S = 10.0
"""How long a restart waits for the workers of the one before to serve."""


def run(config: Config) -> int:
    """Run the gateway until it is told to end; return the process's exit code."""
    try:
        return uvloop.run(_main(config, handed_on(os.environ)))
    except (StartRefused, PortTaken, StateDirInUse, StateDirUnusable) as refused:
        sys.stderr.write(f"Not started: {refused}\n")
        return 1


async def _main(config: Config, before: HandedOn | None) -> int:
    clock = time.time  # noqa: TID251 - composition root
    assembly = await assemble(config, wall_clock=clock, handed_on=before)
    try:
        await Supervisor(assembly).run()
    finally:
        await assembly.hub.close()
        await assembly.opened.close()
    return 0


class Supervisor:
    """Runs what `assemble` put together, then takes it down in order."""

    def __init__(self, assembly: Assembly) -> None:
        """Start nothing yet."""
        self._parts = assembly
        self._count = assembly.workers
        self._turn = asyncio.Event()
        """Set when it stops being as it is: to end, or to start anew."""
        self._end = asyncio.Event()
        self._restarting = False
        self._one_restart = asyncio.Lock()
        self._all_serve = asyncio.Event()
        self._hurry = asyncio.Event()
        self._by_terminal = False
        self._workers = Workers(
            self._count,
            partial(worker_command, assembly),
            env=worker_environ(os.environ),
            descriptors=[sock.fileno() for sock in assembly.opened.data_sockets],
            on_exit=self._worker_ended,
        )

    async def run(self) -> None:
        """Serve until a signal, then drain and end, or start anew in this process."""
        parts = self._parts
        parts.hub.subscribe(self._worker_serves)
        await parts.hub.open(parts.config.state.dir)
        await parts.fleet.start()
        admin = HttpServer(
            self._admin_app(), limits=self._admin_limits(), linger_s=_ADMIN_LINGER_S
        )
        async with asyncio.TaskGroup() as tasks:
            self._hear_signals(tasks)
            # A copy: the port stays open when the server lets go of it.
            serving = tasks.create_task(admin.serve([parts.opened.admin_socket.dup()]))
            background = [
                tasks.create_task(parts.fleet.run()),
                tasks.create_task(parts.publisher.run()),
                tasks.create_task(self._sweep()),
                tasks.create_task(greet(parts)),
            ]
            workers = tasks.create_task(self._workers.run())
            await self._turn.wait()
            if self._restarting:
                await _ended(admin, serving)
                await _cancelled(background)
                await self._start_anew()
            await self._drain(workers)
            await _cancelled(background)
            stop = parts.config.server.replicas_on_exit == "stop"
            await parts.fleet.close(stop_replicas=stop)
            parts.opened.admin_socket.close()
            await _ended(admin, serving)

    def _hear_signals(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()

        def restart() -> None:
            tasks.create_task(self._restart_by_signal())

        def hung_up() -> None:
            """End with the terminal; without one the signal is the usual one for a reload."""
            if sys.stdin.isatty():
                self._asked_from_terminal()
            else:
                restart()

        loop.add_signal_handler(signal.SIGTERM, self._asked_to_end)
        loop.add_signal_handler(signal.SIGINT, self._asked_from_terminal)
        loop.add_signal_handler(signal.SIGHUP, hung_up)
        loop.add_signal_handler(signal.SIGUSR2, restart)
        let_signals_in()

    async def _restart_by_signal(self) -> None:
        problem = await self.restart()
        if problem is not None:
            _LOG.error("not restarted, all goes on as before: %s", problem)

    async def restart(self) -> str | None:
        """Begin to start anew in this process; return why not, if so: then nothing changed.

        Ports stay open, replicas run on, and workers finish what they have.
        """
        async with self._one_restart:
            with suppress(TimeoutError):
                async with asyncio.timeout(_START_S):
                    await self._all_serve.wait()
            if self._turn.is_set():
                return "the gateway is ending" if self._end.is_set() else None
            rows = len(self._parts.opened.board.owners()) + self._count
            if rows > self._parts.opened.board.rows:
                return "too many workers of earlier starts still finish requests: try later"
            before = fixed(self._parts.config)
            problem = await rehearse(own_command(), before, os.environ)
            if problem is None:
                self._restarting = not self._end.is_set()
                self._turn.set()
            return problem

    async def _start_anew(self) -> NoReturn:
        parts = self._parts
        self._workers.end()
        await parts.fleet.close(stop_replicas=False)
        await parts.hub.close()
        _LOG.info("starting anew")
        handed = await parts.opened.hand_on()
        leave(handed, own_command(), os.environ, ending=self._end.is_set())

    def _admin_app(self) -> Litestar:
        parts = self._parts
        views = Views(
            metrics=renderer(parts.fleet, parts.hub, parts.metrics, parts.exposition),
            readiness=self._readiness,
            config=lambda: masked(parts.config),
            restart=self.restart,
            host=parts.host,
        )
        return create_admin_app(parts.fleet, parts.access, views)

    def _admin_limits(self) -> PortLimits:
        server = self._parts.config.server
        return PortLimits(
            header_s=server.header_s, body_s=server.body_s, rules=ADMIN_PORT, show=as_problem
        )

    def _readiness(self) -> Readiness:
        reasons = []
        if self._end.is_set():
            reasons.append("the gateway is ending")
        if not self._parts.hub.serving():
            reasons.append("no worker serves yet")
        return Readiness(ready=not reasons, reasons=tuple(reasons), run=self._parts.generation)

    async def _drain(self, workers: "asyncio.Task[None]") -> None:
        """Let running requests finish within the grace, and end the workers."""
        server, hub = self._parts.config.server, self._parts.hub
        self._workers.end()
        self._parts.publisher.drain()
        if not self._by_terminal:  # behind a terminal there is no load balancer to wait for
            await self._unless_hurried(server.drain_delay_s)
        grace_s = 0.0 if self._hurry.is_set() else server.grace_s
        self._parts.opened.close_data_port()  # workers see to what waits there
        hub.stand_down_all(grace_s)
        if not await self._ended(workers, grace_s + _KILL_AFTER_S):
            hub.stand_down_all(0.0)
            self._hurry.clear()
            if not await self._ended(workers, _KILL_AFTER_S):
                self._workers.kill()

    async def _ended(self, workers: "asyncio.Task[None]", limit_s: float) -> bool:
        """Wait for every worker, also those of an earlier run.

        False at the limit or in a hurry.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + limit_s
        while not workers.done() or self._parts.hub.connected():
            if loop.time() >= ends_at or self._hurry.is_set():
                return False
            await asyncio.sleep(_LOOK_S)
        return True

    async def _unless_hurried(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _asked_to_end(self) -> None:
        if self._end.is_set():
            self._hurry.set()
        self._end.set()
        self._turn.set()

    def _asked_from_terminal(self) -> None:
        self._by_terminal = True
        self._asked_to_end()

    def _worker_serves(self) -> None:
        """Once all workers of this run serve, those of an earlier one may go."""
        if self._parts.hub.serving() >= self._count:
            if not self._all_serve.is_set() and self._parts.again:
                _LOG.warning("the new start takes over: earlier workers finish what they have")
            self._all_serve.set()
            self._parts.hub.replace_old(self._parts.config.server.grace_s)

    def _worker_ended(self) -> None:
        self._parts.opened.board.clear_dead_rows(is_alive)

    async def _sweep(self) -> None:
        """See to the end of workers that an earlier program of this process started."""
        dead: frozenset[tuple[int, int]] = frozenset()
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._parts.opened.board.clear_dead_rows(is_alive)
            # Whoever waits for a child collects it at once: one that was dead before is theirs.
            earlier, dead = dead, dead_children()
            for pid, _ in dead & earlier:
                collect(pid)


async def _ended(server: HttpServer, serving: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await serving


async def _cancelled(tasks: "Sequence[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
