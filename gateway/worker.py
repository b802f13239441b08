"""A worker process: composes the data plane and serves it until it is told to stand down.

Started by the supervisor as ``python -m gateway.worker SETTINGS`` (JSON). It reads no
configuration, starts no processes and probes nobody: all it knows comes in snapshots over the
bus.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import msgspec
import uvloop

from gateway.api.data import create_data_app
from gateway.api.server import HttpServer
from gateway.core.outcome import RequestFacts
from gateway.core.outlier import Outlier
from gateway.core.picking import LeastInFlight, WeightedPick
from gateway.core.snapshot import FleetSnapshot, ModelView, ReplicaView
from gateway.core.standing import Standings
from gateway.dataplane.admission import Admission
from gateway.dataplane.handler import DataPlane
from gateway.dataplane.judging import Judge
from gateway.dataplane.pipeline import Pipeline
from gateway.dataplane.upstream import Upstreams
from gateway.dataplane.watch import PortLimits
from gateway.state.board import Board, Row
from gateway.state.bus import (
    Cover,
    Ejected,
    Hello,
    Numbers,
    Publish,
    ReplicaFailed,
    Scrape,
    StandDown,
)
from gateway.state.link import Orders, SupervisorLink
from gateway.state.liveness import start_ticks
from gateway.telemetry.clocks import Clocks
from gateway.telemetry.logs import Logs, start_logs
from gateway.telemetry.looplag import watch_loop_lag
from gateway.telemetry.metrics import RequestMetrics
from gateway.telemetry.tracer import RequestTrace
from gateway.telemetry.tracing import start_tracing
from gateway.workers import WorkerSettings

_LOG = logging.getLogger(__name__)
_ID_BITS = 128
_FLUSH_S = 2.0
_OWN_FILES = 64
"""Descriptors that are no client's nor replica's: sockets, pipes, the board, spare ones."""
_MOST_CONNECTIONS = 1 << 19
_FILES_EACH = 2
"""Descriptors of a request: its client's and its replica's."""


@dataclass(frozen=True, slots=True)
class _Recorder:
    metrics: RequestMetrics
    logs: Logs

    def admitted(self, facts: RequestFacts) -> None:
        self.metrics.admitted(facts)

    def record(self, facts: RequestFacts, trace: RequestTrace | None) -> None:
        if trace is None:
            self.metrics.record(facts)
            self.logs.request(facts)
        else:
            self.metrics.record(facts, trace.finish(facts))
            self.logs.request(facts, trace.trace_id)


@dataclass(frozen=True, slots=True)
class _Leases:
    board: Board
    row: Row

    def loads(self, columns: Sequence[int]) -> list[int]:
        return self.board.loads(columns)

    def add(self, column: int, delta: int) -> None:
        self.row.add(column, delta)

    def give_back(self, replica: ReplicaView, slots: int) -> None:
        self.row.add(replica.column, -slots)


class Worker:
    """Owns everything in the process; `run` returns when nothing is left to serve."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Take a row of the board; open nothing else yet."""
        pid = os.getpid()
        ticks = start_ticks(pid) or 0
        self._settings = settings
        self._clocks = Clocks(time.perf_counter, time.time)  # noqa: TID251 - composition root
        self._board = Board.open(Path(settings.state_dir) / "board")
        self._row = self._board.claim_row(pid, ticks)
        self._snapshot = FleetSnapshot(version=0)
        self._published = asyncio.Event()
        self._sockets = [socket.socket(fileno=each) for each in settings.sockets]
        self._covered: tuple[int, ...] = ()
        self._cover_changed = asyncio.Event()
        self._metrics = RequestMetrics()
        self._upstreams = Upstreams(clock=self._clocks.monotonic)
        self._standings = Standings()
        self._running: set[asyncio.Task[Any] | None] = set()
        hello = Hello(settings.slot, pid, ticks, settings.generation)
        self._link = SupervisorLink(Path(settings.state_dir), hello, alone_s=settings.alone_s)
        self._logs = start_logs(
            level=settings.log_level,
            wall=self._clocks.wall,
            fields={"worker": str(settings.slot)},
        )
        self._tracer = start_tracing(
            settings.tracing,
            self._clocks,
            Random(SystemRandom().getrandbits(_ID_BITS)),
            slot=str(settings.slot),
            version=settings.version,
        )
        self._server = self._http_server()

    async def run(self) -> None:
        """Serve from the first snapshot until told to stand down."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stand_down, self._settings.grace_s)
        async with asyncio.TaskGroup() as tasks:
            link = tasks.create_task(self._follow())
            lag = tasks.create_task(
                watch_loop_lag(self._metrics.loop_lag, clock=self._clocks.monotonic)
            )
            await self._published.wait()
            cover = tasks.create_task(self._cover())
            if self._snapshot.version or not self._server.should_exit:
                _tune_collector()
                # Also if it is to end at once: it may be the last to hold the sockets.
                await self._server.serve(sockets=[self._sockets[i] for i in self._settings.own])
            for task in (link, lag, cover):
                task.cancel()
        self._upstreams.close()
        await asyncio.to_thread(self._tracer.close, timeout_s=_FLUSH_S)
        await asyncio.to_thread(self._logs.finish, timeout_s=_FLUSH_S)
        self._board.release_row(self._row)

    def _http_server(self) -> HttpServer:
        app = create_data_app(self._plane())
        limits = PortLimits(
            header_s=self._settings.header_s,
            body_s=self._settings.body_s,
            connections=_most_connections(),
        )
        server = HttpServer(
            app, limits=limits, on_started=self._link.serving, spliced=app.spliced
        )
        server.hold(self._sockets)
        return server

    def _plane(self) -> DataPlane:
        rng = Random(SystemRandom().getrandbits(_ID_BITS))
        leases = _Leases(self._board, self._row)
        admission = Admission(
            rng=rng,
            clock=self._clocks.monotonic,
            newest=self._model,
            give_back=leases.give_back,
            queued=self._metrics.queued,
        )
        pipeline = Pipeline(
            leases=leases,
            picker=WeightedPick([(LeastInFlight(), 1.0)], rng),
            upstream=self._upstreams.get,
            judge=Judge(
                self._standings, self._report, self._report_outlier, self._clocks.monotonic
            ),
            clock=self._clocks.monotonic,
            admission=admission,
        )
        return DataPlane(
            snapshot=lambda: self._snapshot,
            pipeline=pipeline,
            recorder=_Recorder(self._metrics, self._logs),
            tracer=self._tracer,
            clock=self._clocks.monotonic,
            wall_clock=self._clocks.wall,
            new_id=lambda: f"{rng.getrandbits(_ID_BITS):032x}",
            running=self._running,
        )

    def _model(self, name: str) -> ModelView | None:
        return self._snapshot.models.get(name)

    async def _follow(self) -> None:
        await self._link.run(Orders(self._publish, self._scrape, self._obey, self._take_cover))
        self._stand_down(self._settings.grace_s)

    def _publish(self, message: Publish) -> None:
        snapshot, at = message.snapshot, self._clocks.monotonic()
        models = snapshot.models.values()
        replicas = [r for model in models for r in (*model.replicas, *model.ejected)]
        for outlier in self._standings.take(models, at):
            self._report_outlier(outlier)
        self._metrics.configure(snapshot.models, (r.id for r in replicas), at=at)
        self._upstreams.keep_only({(r.host, r.port) for r in replicas})
        self._snapshot = snapshot
        self._published.set()

    def _scrape(self, message: Scrape) -> None:
        self._metrics.dropped("spans", self._tracer.dropped)
        self._metrics.dropped("logs", self._logs.dropped)
        dump = self._metrics.dump(self._clocks.monotonic())
        self._link.send(Numbers(message.id, dump))

    def _take_cover(self, message: Cover) -> None:
        self._covered = message.sockets
        self._cover_changed.set()

    async def _cover(self) -> None:
        """Accept from the sockets of others when told to, and from its own, until cancelled."""
        while True:
            await self._cover_changed.wait()
            self._cover_changed.clear()
            places = {*self._settings.own, *self._covered}
            await self._server.listen_on([self._sockets[place] for place in sorted(places)])

    def _obey(self, message: StandDown) -> None:
        self._stand_down(message.grace_s, succeeded=message.succeeded)

    def _stand_down(self, grace_s: float, *, succeeded: bool = False) -> None:
        self._server.stop_accepting(succeeded=succeeded)
        self._published.set()  # if it has not served yet, it never will
        asyncio.get_running_loop().call_later(grace_s, self._cut)

    def _cut(self) -> None:
        """End what still runs: each client is told why."""
        for task in list(self._running):
            if task is not None:
                task.cancel()

    def _report(self, replica: ReplicaView) -> None:
        self._link.send(ReplicaFailed(replica.id))

    def _report_outlier(self, outlier: Outlier) -> None:
        self._link.send(Ejected(outlier))


def _most_connections() -> int:
    """Let this process open as many files as it may, and return how many clients that is for.

    Out of descriptors, the loop turns clients away and replicas seem to fail; below that,
    those that come wait until others have left.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, max(1, (most - _OWN_FILES) // _FILES_EACH))


def _tune_collector() -> None:
    """Let the garbage collector look rarely, and never at what the start has made.

    Requests leave no cycles behind (a test holds them to it): what it would find is little, and
    each look delays every stream.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _main(settings: WorkerSettings) -> None:
    await Worker(settings).run()


if __name__ == "__main__":
    uvloop.run(_main(msgspec.json.decode(sys.argv[1], type=WorkerSettings)))
