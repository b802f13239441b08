"""Put the supervisor's parts together: each is made here, and given what it needs as arguments.

Nothing is started here that would have to be stopped: `Assembly.close` gives back what was
opened.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random, SystemRandom
from socket import socket
from typing import IO

from backends.nvml import NvmlReader
from backends.process import ProcessLauncher
from backends.procfs import become_subreaper
from backends.recipes import BUILTIN, RecipeInvalid, read_recipes
from gateway.api.access import Access
from gateway.api.admin_planning import Host
from gateway.config import Config
from gateway.config.secrets import (
    SecretUnusable,
    admin_tokens,
    api_keys,
    key_pepper,
    replica_environ,
)
from gateway.config.settings import admin_port_hosts, data_port_hosts, fleet_settings
from gateway.core.snapshot import FleetSnapshot
from gateway.fleet.fleet import Dependencies, Fleet
from gateway.fleet.http_probe import HttpProbe
from gateway.fleet.recipe_planner import RecipePlanner
from gateway.handover import HandedOn
from gateway.ports import admin_socket, more_sockets, open_data_port
from gateway.publishing import Publisher
from gateway.state import home
from gateway.state.board import Board
from gateway.state.hub import Hub
from gateway.state.liveness import is_alive
from gateway.state.sqlite import SqliteStore, StoreInUse, StoreTooNew, StoreUnreadable
from gateway.state.store import StoreUnavailable
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.fleet_metrics import FleetMetrics
from gateway.telemetry.logs import Logs, start_logs

VERSION = version("trtllm-gateway")
_FLUSH_S = 2.0
_RANDOM_BITS = 64
_PROBLEMS = (
    SecretUnusable,
    RecipeInvalid,
    StoreInUse,
    StoreTooNew,
    StoreUnreadable,
    StoreUnavailable,
)


class StartRefused(Exception):  # noqa: N818 - names the condition
    """The gateway cannot start; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a supervisor run holds open from its start to its end."""

    lock: IO[str]
    logs: Logs
    board: Board
    data_sockets: Sequence[socket]
    admin_socket: socket
    store: SqliteStore
    launchers: Mapping[str, ProcessLauncher]
    probe: HttpProbe

    async def close(self) -> None:
        """Give all of it back, the lock last."""
        for launcher in self.launchers.values():
            await launcher.close()
        await self.probe.close()
        await self.store.close()
        self.close_data_port()
        self.admin_socket.close()
        self.board.close()
        self.logs.finish(timeout_s=_FLUSH_S)
        self.lock.close()

    async def hand_on(self) -> HandedOn:
        """Give back all that this process does not keep when it starts anew."""
        for launcher in self.launchers.values():
            await launcher.close()
        await self.probe.close()
        await self.store.close()
        self.board.close()
        self.logs.finish(timeout_s=_FLUSH_S)
        return HandedOn(self.lock, self.admin_socket, self.data_sockets)

    def close_data_port(self) -> None:
        """Leave the sockets of the data port to the workers; safe to call twice."""
        for sock in self.data_sockets:
            sock.close()


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of one supervisor run."""

    config: Config
    opened: Opened
    generation: str
    fleet: Fleet
    hub: Hub
    publisher: Publisher
    metrics: FleetMetrics
    exposition: Exposition
    access: Access
    host: Host
    token_file: Path | None
    """Holds an admin token that was made just now; None if none was."""
    workers: int
    """How many worker processes run."""
    again: bool
    """Whether it went on from an earlier program of the same process."""


async def assemble(
    config: Config, *, wall_clock: Callable[[], float], handed_on: HandedOn | None = None
) -> Assembly:
    """Make every part, from what an earlier program ``handed_on`` if there was one.

    Raises:
        StateDirInUse, StateDirUnusable: of the state directory.
        PortTaken: of a port.
        StartRefused: a secret, the store or the catalogue cannot be used.
    """
    become_subreaper()
    lock = home.take(config.state.dir) if handed_on is None else handed_on.lock
    workers = config.server.worker_count(len(os.sched_getaffinity(0)))
    logs = start_logs(level=config.telemetry.log.level, wall=wall_clock, fields={})
    try:
        secrets = _read_secrets(config)
        host = Host(NvmlReader(), read_recipes(BUILTIN))
        opened = await _open(config, _Begun(lock, logs, handed_on), workers, wall_clock)
    except _PROBLEMS as problem:
        raise StartRefused(str(problem)) from None
    rng = Random(SystemRandom().getrandbits(_RANDOM_BITS))
    metrics = FleetMetrics(
        version=VERSION, revision=_revision(), python=platform.python_version()
    )
    fleet = _fleet(config, opened, host, metrics, rng=rng, clock=wall_clock)
    hub = _hub(f"{rng.getrandbits(_RANDOM_BITS):016x}", fleet, opened, workers)
    return Assembly(
        config=config,
        opened=opened,
        generation=hub.generation,
        fleet=fleet,
        hub=hub,
        publisher=Publisher(fleet, hub, metrics, secrets.template),
        metrics=metrics,
        exposition=Exposition(metrics, slots=map(str, range(workers))),
        access=secrets.access,
        host=host,
        token_file=secrets.token_file,
        workers=workers,
        again=handed_on is not None,
    )


def _hub(generation: str, fleet: Fleet, opened: Opened, workers: int) -> Hub:
    return Hub(
        generation,
        workers=workers,
        sockets=len(opened.data_sockets),
        on_failed=fleet.suspect,
        on_ejected=fleet.eject,
    )


def _fleet(
    config: Config,
    opened: Opened,
    host: Host,
    metrics: FleetMetrics,
    *,
    rng: Random,
    clock: Callable[[], float],
) -> Fleet:
    given = Dependencies(
        store=opened.store,
        board=opened.board,
        launchers=opened.launchers,
        planner=RecipePlanner(host.gpus, host.recipes),
        probe=opened.probe,
        clock=clock,
        rng=rng,
        observe=metrics.health_check,
        ejected=metrics.ejected,
    )
    return Fleet(fleet_settings(config), given)


@dataclass(frozen=True, slots=True)
class _Begun:
    lock: IO[str]
    logs: Logs
    handed_on: HandedOn | None


async def _open(
    config: Config, begun: _Begun, workers: int, wall_clock: Callable[[], float]
) -> Opened:
    board = Board.create(config.state.dir / "board")
    board.clear_dead_rows(is_alive)
    data, admin = _sockets(config, begun.handed_on, workers, shared=bool(board.owners()))
    store = await SqliteStore.open(config.state.dir / "state.sqlite")
    instance = await store.instance_id()
    folder = config.state.dir / "replicas"
    environ = replica_environ(config, os.environ)
    return Opened(
        lock=begun.lock,
        logs=begun.logs,
        board=board,
        data_sockets=data,
        admin_socket=admin,
        store=store,
        launchers={
            name: ProcessLauncher(
                folder, instance, name=name, environ=environ, clock=wall_clock
            )
            for name in ("process", "sim")
        },
        probe=HttpProbe(),
    )


def _sockets(
    config: Config, handed_on: HandedOn | None, workers: int, *, shared: bool
) -> tuple[list[socket], socket]:
    """Return the sockets of both ports.

    ``shared``: rows of the board have owners. They are workers of a killed supervisor, which
    still share the port.
    """
    if handed_on is not None:
        return more_sockets(handed_on.data_sockets, workers), handed_on.admin_socket
    server, admin = config.server, config.admin
    data = open_data_port(server.host, server.port, count=workers, shared=shared)
    return data, admin_socket(admin.host, admin.port)


@dataclass(frozen=True, slots=True)
class _Secrets:
    access: Access
    template: FleetSnapshot
    token_file: Path | None


def _read_secrets(config: Config) -> _Secrets:
    pepper = key_pepper(config.state.dir)
    tokens, made = admin_tokens(config, pepper)
    access = Access(tokens=tokens, pepper=pepper, allowed_hosts=admin_port_hosts(config))
    template = FleetSnapshot(
        version=0,
        keys=api_keys(config, pepper),
        key_pepper=pepper,
        allowed_hosts=data_port_hosts(config),
    )
    return _Secrets(access, template, made)


def _revision() -> str:
    """Return the commit that a packager put in the environment; ``unknown`` elsewhere."""
    return os.environ.get("TRTLLM_GATEWAY_REVISION", "unknown")
