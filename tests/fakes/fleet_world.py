"""A fleet on fake ground: a table for a machine, a clock that stands still until it is moved.

`World.boot` is a start of the gateway; booting again is a restart after `kill -9`: what was in
memory is gone, the store, the board and what runs are still there.
"""

import asyncio
from dataclasses import replace
from random import Random

from backends.plan import Refusal
from backends.replica import ReplicaSpec
from gateway.core.drift import GoldenAnswer
from gateway.fleet.fleet import Dependencies, Fleet
from gateway.fleet.golden import NotComparable
from gateway.fleet.health import PROBED, ProbeOutcome, ProbeResult
from gateway.fleet.planning import CreateRequest
from gateway.fleet.settings import FleetSettings, ModelSettings, ReconcileSettings
from gateway.fleet.watching import Findings
from gateway.state.board import Board
from gateway.state.memory import MemoryStore
from gateway.state.store import StoreUnavailable
from tests.fakes.launcher import Crash, FakeLauncher, Host

MODELS = (
    ModelSettings(
        "big",
        "org/big",
        aliases=("large",),
        launcher="sim",
        initial=0,
        max=5,
        static_source="org/big",
    ),
    ModelSettings("small", "org/small", launcher="sim", initial=0, max=5),
)

ONE = CreateRequest("big")


class FakeStore(MemoryStore):
    """A store that can fail, or be the point where the gateway is killed."""

    def __init__(self):
        super().__init__()
        self.full = False
        self.crash_in = None
        """Commits until one crashes: before its effect if odd, after it if even."""

    async def commit(self, change):
        if self.full:
            raise StoreUnavailable("the disk is full")
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0:
                after, self.crash_in = self.crash_in == 0, None
                if after:
                    await super().commit(change)
                raise Crash
        await super().commit(change)


class FakeProbe:
    """Answers from a table by URL; what is not in it is well."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.patience_s = []
        """How long each of these was given to generate; None for as long as always."""
        self.works_at = {}
        """Answers to `works`, by URL: a result, or what is done to come to one."""
        self.asked_to_work = []
        self.golden_at = {}
        """Golden answers, by URL; a text says why there is none."""
        self.asked_golden = []
        self.closed = False

    async def __call__(self, url, source, *, prove, generate_s=None):
        self.asked.append((url, source, prove))
        self.patience_s.append(generate_s)
        answer = self.answers.get(url)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = None
        dialect = "1.2" if prove else None
        return answer or ProbeResult(ProbeOutcome.OK, model=source or "found", dialect=dialect)

    async def works(self, url, source, *, generate_s, thoroughly):
        self.asked_to_work.append((url, source, generate_s, thoroughly))
        answer = self.works_at.get(url) or ProbeResult(ProbeOutcome.OK)
        return await answer() if callable(answer) else answer

    async def golden(self, url, source, prompt):
        self.asked_golden.append((url, source, prompt))
        answer = self.golden_at.get(url, GoldenAnswer(("a", "b"), (-0.1, -0.2)))
        if isinstance(answer, str):
            raise NotComparable(answer)
        return answer

    async def close(self):
        self.closed = True


class FakePlanner:
    """Plans anything, on GPUs if it has some; refuses what it was told to."""

    def __init__(self):
        self.refusal = None
        self.gpus = ()
        self.asked = []

    async def __call__(self, request, settings, taken):
        self.asked.append((request, taken))
        await asyncio.sleep(0)
        if self.refusal:
            return Refusal("does_not_fit", self.refusal)
        free = [gpu for gpu in self.gpus if gpu not in taken]
        if self.gpus and not free:
            return Refusal("gpus_taken", "no GPU is free")
        return ReplicaSpec(
            settings.name, settings.source, request.launcher or settings.launcher,
            argv=("run", settings.source), gpus=tuple(free[:1]), concurrency=8,
        )  # fmt: skip


class World:
    """All that is outside the fleet."""

    def __init__(self, path, *models, seed=1, **settings):
        reconcile = replace(ReconcileSettings(), **settings.pop("reconcile", {}))
        self.settings = FleetSettings(models or MODELS, reconcile=reconcile, **settings)
        self.at = 1_000_000.0
        self.host = Host()
        self.launcher = FakeLauncher(self.host)
        self.store = FakeStore()
        self.board = Board.create(path / "board")
        self.row = self.board.claim_row(1, 1)
        self.probe = FakeProbe()
        self.planner = FakePlanner()
        self.rng = Random(seed)
        self.observed = []
        self.ejected = []
        self.doubted = []
        self.compared = []

    async def boot(self):
        """Start the gateway."""
        given = Dependencies(
            store=self.store,
            board=self.board,
            launchers={"sim": self.launcher, "process": self.launcher},
            planner=self.planner,
            probe=self.probe,
            clock=lambda: self.at,
            rng=self.rng,
            monotonic=lambda: self.at,
            findings=Findings(
                observe=lambda *told: self.observed.append(told),
                ejected=lambda *told: self.ejected.append(told),
                doubted=lambda *told: self.doubted.append(told),
                compared=lambda *told: self.compared.append(told),
            ),
        )
        fleet = Fleet(self.settings, given)
        await fleet.start()
        return fleet

    async def step(self, fleet, *, seconds=0.0, times=1):
        """Let time pass, and the reconciler and each probe run once, ``times`` times."""
        for _ in range(times):
            self.at += seconds
            async with asyncio.TaskGroup() as tasks:
                await fleet._reconciler.step(tasks)
            for record in fleet.replicas():
                if record.state in PROBED:
                    await fleet._prober.probe_once(record)
            fleet._state.operations.refresh()
            await fleet._state.save()

    def close(self):
        """Give back the board."""
        self.board.close()


async def up(world, fleet, request=ONE):
    """Create a replica, and return its record when it should be ready."""
    operation = await fleet.create(request)
    await world.step(fleet, seconds=1, times=3)
    return fleet.replica(operation.replica_id)


def status(fleet, name="big"):
    """Return a model's status."""
    return next(s for s in fleet.models() if s.name == name)
