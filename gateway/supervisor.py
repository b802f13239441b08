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

import msgspec
import uvloop
from litestar import Litestar

from gateway.api.admin import Views, create_admin_app
from gateway.api.health import Readiness
from gateway.api.problems import as_problem
from gateway.api.server import HttpServer
from gateway.assembly import VERSION, Assembly, StartRefused, assemble
from gateway.config import Config
from gateway.config.settings import masked
from gateway.core.http_rules import ADMIN_PORT
from gateway.dataplane.watch import PortLimits
from gateway.greeting import greet
from gateway.ports import PortTaken
from gateway.publishing import renderer
from gateway.state.home import StateDirInUse, StateDirUnusable
from gateway.state.link import ALONE_S
from gateway.state.liveness import is_alive
from gateway.telemetry.tracing import TracingSettings, traces_endpoint
from gateway.workers import Workers, WorkerSettings

_LOG = logging.getLogger(__name__)
_SWEEP_S = 1.0
_LOOK_S = 0.05
_KILL_AFTER_S = 2.0
_ADMIN_LINGER_S = 1
_ALONE = "TRTLLM_GATEWAY_WORKER_ALONE_S"
"""Seconds after which a worker without a supervisor ends; not a setting: for tests."""


def run(config: Config) -> int:
    """Run the gateway until it is told to end; return the process's exit code."""
    try:
        return uvloop.run(_main(config))
    except (StartRefused, PortTaken, StateDirInUse, StateDirUnusable) as refused:
        sys.stderr.write(f"Not started: {refused}\n")
        return 1


async def _main(config: Config) -> int:
    assembly = await assemble(config, wall_clock=time.time)  # noqa: TID251 - composition root
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
        self._end = asyncio.Event()
        self._hurry = asyncio.Event()
        self._by_terminal = False
        self._workers = Workers(
            self._count,
            self._worker_command,
            env=_worker_environ(),
            on_exit=self._worker_ended,
        )

    async def run(self) -> None:
        """Serve until a signal, then drain and end."""
        parts = self._parts
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_end)
        loop.add_signal_handler(signal.SIGINT, self._asked_from_terminal)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        parts.hub.subscribe(self._worker_serves)
        await parts.hub.open(parts.config.state.dir)
        await parts.fleet.start()
        admin = HttpServer(
            self._admin_app(), limits=self._admin_limits(), linger_s=_ADMIN_LINGER_S
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(admin.serve([parts.opened.admin_socket]))
            background = [
                tasks.create_task(parts.fleet.run()),
                tasks.create_task(parts.publisher.run()),
                tasks.create_task(self._sweep()),
                tasks.create_task(greet(parts)),
            ]
            workers = tasks.create_task(self._workers.run())
            await self._end.wait()
            await self._drain(workers)
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            stop = parts.config.server.replicas_on_exit == "stop"
            await parts.fleet.close(stop_replicas=stop)
            admin.should_exit = True
            await serving

    def _admin_app(self) -> Litestar:
        parts = self._parts
        views = Views(
            metrics=renderer(parts.fleet, parts.hub, parts.metrics, parts.exposition),
            readiness=self._readiness,
            config=lambda: masked(parts.config),
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
        return Readiness(ready=not reasons, reasons=tuple(reasons))

    async def _drain(self, workers: "asyncio.Task[None]") -> None:
        """Let running requests finish within the grace, and end the workers."""
        server, hub = self._parts.config.server, self._parts.hub
        self._workers.end()
        self._parts.publisher.drain()
        if not self._by_terminal:  # behind a terminal there is no load balancer to wait for
            await self._unless_hurried(server.drain_delay_s)
        grace_s = 0.0 if self._hurry.is_set() else server.grace_s
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

    def _asked_from_terminal(self) -> None:
        self._by_terminal = True
        self._asked_to_end()

    def _hung_up(self) -> None:
        """End with the terminal; without one the signal asks for a reload, not there yet."""
        if sys.stdin.isatty():
            self._asked_from_terminal()
        else:
            _LOG.warning("SIGHUP: the configuration cannot be reloaded; restart to apply it")

    def _worker_serves(self) -> None:
        """Once all workers of this run serve, those of an earlier one may go."""
        if self._parts.hub.serving() >= self._count:
            self._parts.hub.replace_old(self._parts.config.server.grace_s)

    def _worker_ended(self) -> None:
        self._parts.opened.board.clear_dead_rows(is_alive)

    async def _sweep(self) -> None:
        """Clear the rows of dead workers that were nobody's children."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._parts.opened.board.clear_dead_rows(is_alive)

    def _worker_command(self, slot: int) -> Sequence[str]:
        config = self._parts.config
        host, port = self._parts.opened.data_socket.getsockname()[:2]
        settings = WorkerSettings(
            slot=slot,
            generation=self._parts.generation,
            state_dir=str(config.state.dir),
            host=host,
            port=port,
            version=VERSION,
            header_s=config.server.header_s,
            body_s=config.server.body_s,
            grace_s=config.server.grace_s,
            alone_s=float(os.environ.get(_ALONE, ALONE_S)),
            tracing=TracingSettings(
                endpoint=traces_endpoint(config.telemetry.otlp_endpoint, os.environ),
                sample_share=config.telemetry.sample_share,
                trust_incoming=config.telemetry.trust_incoming,
            ),
            log_level=config.telemetry.log.level,
        )
        return (sys.executable, "-m", "gateway.worker", msgspec.json.encode(settings).decode())


def _worker_environ() -> dict[str, str]:
    # Workers are told all in their settings; secrets that came by the environment stay here.
    return {k: v for k, v in os.environ.items() if not k.startswith("TRTGW_")}
