"""Put the supervisor's parts together: each is made here, and given what it needs as arguments.

Nothing is started here that would have to be stopped: `Assembly.close` gives back what was
opened.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping
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
from gateway.ports import admin_socket, hold_data_port
from gateway.publishing import Publisher
from gateway.state import home
from gateway.state.board import Board
from gateway.state.hub import Hub
from gateway.state.liveness import is_alive
from gateway.state.sqlite import SqliteStore, StoreInUse, StoreTooNew, StoreUnreadable
from gateway.state.store import StoreUnavailable
from gateway.telemetry.clocks import Clocks
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
    data_socket: socket
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
        self.data_socket.close()
        self.admin_socket.close()
        self.board.close()
        self.logs.finish(timeout_s=_FLUSH_S)
        self.lock.close()


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


async def assemble(config: Config, *, wall_clock: Callable[[], float]) -> Assembly:
    """Make every part.

    Raises:
        StateDirInUse, StateDirUnusable: of the state directory.
        PortTaken: of a port.
        StartRefused: a secret, the store or the catalogue cannot be used.
    """
    become_subreaper()
    lock = home.take(config.state.dir)
    logs = start_logs(level=config.telemetry.log.level, wall=wall_clock, fields={})
    try:
        secrets = _read_secrets(config)
        host = Host(NvmlReader(), read_recipes(BUILTIN))
        opened = await _open(config, lock, logs, wall_clock)
    except _PROBLEMS as problem:
        raise StartRefused(str(problem)) from None
    rng = Random(SystemRandom().getrandbits(_RANDOM_BITS))
    workers = config.server.worker_count(len(os.sched_getaffinity(0)))
    metrics = FleetMetrics(
        version=VERSION, revision=_revision(), python=platform.python_version()
    )
    steady = Clocks(time.monotonic, wall_clock).steady()
    fleet = _fleet(config, opened, host, metrics, rng=rng, clock=steady)
    generation = f"{rng.getrandbits(_RANDOM_BITS):016x}"
    hub = Hub(generation, on_failed=fleet.suspect, on_ejected=fleet.eject)
    return Assembly(
        config=config,
        opened=opened,
        generation=generation,
        fleet=fleet,
        hub=hub,
        publisher=Publisher(fleet, hub, metrics, secrets.template),
        metrics=metrics,
        exposition=Exposition(metrics, slots=map(str, range(workers))),
        access=secrets.access,
        host=host,
        token_file=secrets.token_file,
        workers=workers,
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


async def _open(
    config: Config, lock: IO[str], logs: Logs, wall_clock: Callable[[], float]
) -> Opened:
    board = Board.create(config.state.dir / "board")
    board.clear_dead_rows(is_alive)
    # Rows that are left belong to workers of a killed supervisor, which still share the port.
    data_socket = hold_data_port(
        config.server.host, config.server.port, shared=bool(board.owners())
    )
    store = await SqliteStore.open(config.state.dir / "state.sqlite")
    instance = await store.instance_id()
    folder = config.state.dir / "replicas"
    environ = replica_environ(config, os.environ)
    return Opened(
        lock=lock,
        logs=logs,
        board=board,
        data_socket=data_socket,
        admin_socket=admin_socket(config.admin.host, config.admin.port),
        store=store,
        launchers={
            name: ProcessLauncher(
                folder, instance, name=name, environ=environ, clock=wall_clock
            )
            for name in ("process", "sim")
        },
        probe=HttpProbe(),
    )


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
