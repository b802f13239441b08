"""A process that hosts a fleet of simulated replicas, to be killed at any point.

    python -m tests.system.fleet_host STATE_DIR COUNT

Wants COUNT replicas, writes what it knows into ``STATE_DIR/seen.json`` on each change, and
stops all of them on SIGTERM.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from random import Random

from backends.gpus import Inventory
from backends.process import ProcessLauncher
from gateway.fleet.fleet import Dependencies, Fleet
from gateway.fleet.http_probe import HttpProbe
from gateway.fleet.recipe_planner import RecipePlanner
from gateway.fleet.settings import (
    FleetSettings,
    ModelSettings,
    ProbeSettings,
    ReconcileSettings,
)
from gateway.fleet.watching import Findings
from gateway.state.board import Board
from gateway.state.sqlite import SqliteStore

SETTINGS = FleetSettings(
    models=(ModelSettings("llama", "org/llama", launcher="sim", initial=0, max=5),),
    probe=ProbeSettings(loading_s=0.1, ready_s=0.2),
    reconcile=ReconcileSettings(interval_s=0.2, settle_s=0.0, backoff_s=0.2, stop_s=5.0),
)


class NoGpus:
    def read(self):
        return Inventory(problem="none are needed")


async def host(state, count):
    store = await SqliteStore.open(state / "state.db")
    board = Board.create(state / "board")
    launcher = ProcessLauncher(
        state / "replicas",
        await store.instance_id(),
        name="sim",
        clock=time.time,  # noqa: TID251 - this is the composition root
    )
    given = Dependencies(
        store=store,
        board=board,
        launchers={"sim": launcher},
        planner=RecipePlanner(NoGpus(), {}),
        probe=HttpProbe(SETTINGS.probe),
        clock=time.time,  # noqa: TID251 - this is the composition root
        rng=Random(),
        monotonic=time.perf_counter,
        findings=Findings(*[lambda *_: None] * 4),
    )
    fleet = Fleet(SETTINGS, given)
    await fleet.start()
    fleet.subscribe(lambda: show(fleet, state))
    show(fleet, state)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run())
        await fleet.scale("llama", count)
        await ended.wait()
        running.cancel()
    await fleet.close(stop_replicas=True)
    await launcher.close()
    await store.close()
    board.close()


def show(fleet, state):
    seen = {
        r.id: {"state": r.state, "pid": r.handle.get("pid"), "url": r.url}
        for r in fleet.replicas()
    }
    fresh = state / "seen.json.new"
    fresh.write_text(json.dumps(seen))
    fresh.replace(state / "seen.json")


if __name__ == "__main__":
    asyncio.run(host(Path(sys.argv[1]), int(sys.argv[2])))
