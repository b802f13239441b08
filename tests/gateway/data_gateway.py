"""The data port over scripted replicas: everything real but the fleet and its board."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import ClassVar

import httpx

from gateway.api.data import create_data_app
from gateway.api.server import HttpServer, bound_socket
from gateway.core.picking import LeastInFlight, WeightedPick
from gateway.core.snapshot import FleetSnapshot, Limits, ModelView, Timeouts
from gateway.core.standing import Standings
from gateway.dataplane.admission import Admission
from gateway.dataplane.handler import DataPlane
from gateway.dataplane.judging import Judge
from gateway.dataplane.pipeline import Pipeline
from gateway.dataplane.placing import Placing
from gateway.dataplane.quarantine import Quarantine
from gateway.dataplane.upstream import Upstreams
from gateway.telemetry.passthrough import PassThrough
from tests.fakes.client import StreamingClient
from tests.fakes.direct import DirectStreamingClient
from tests.fakes.replica import settled

QUICK = Timeouts(connect_s=5, first_token_s=30, between_tokens_s=30, total_s=60)
COMPLETION = b'{"model":"m","prompt":"p"}'
STREAMED = b'{"model":"m","prompt":"p","stream":true}'


CLIENTS = {"portable": StreamingClient, "splice": DirectStreamingClient}


class Leases:
    """The board of one worker."""

    def __init__(self):
        self.open = Counter()
        self.peak = Counter()

    def loads(self, columns):
        return [self.open[column] for column in columns]

    def add(self, column, delta):
        self.open[column] += delta
        self.peak[column] = max(self.peak[column], self.open[column])


class Recorder:
    """Keeps the facts of every request."""

    def __init__(self):
        self.running = 0
        self.facts = []

    def admitted(self, facts):  # noqa: ARG002 - protocol
        self.running += 1

    def record(self, facts, mark):  # noqa: ARG002 - protocol
        self.facts.append(facts)


@dataclass
class DataGateway:
    """A worker's data plane."""

    way: ClassVar[str] = "portable"
    """How clients are spoken to: through ASGI, or straight into their transport."""

    replicas: list
    settings: dict = field(default_factory=dict)
    known: dict = field(default_factory=dict)
    """Of the snapshot."""
    leases: Leases = field(default_factory=Leases)
    recorder: Recorder = field(default_factory=Recorder)
    failed: list = field(default_factory=list)
    queued: Counter = field(default_factory=Counter)
    """Requests that wait for room, by model."""
    standings: Standings = field(default_factory=Standings)
    outliers: list = field(default_factory=list)
    """What was reported of them."""
    ejected: Collection = ()
    """Names of replicas that the supervisor has ejected."""
    ejections: Counter = field(default_factory=Counter)
    on_failure: Callable = lambda: None
    server: HttpServer | None = None
    """While it is `serving`."""

    def __post_init__(self):
        self.upstreams = Upstreams(clock=time.perf_counter)
        self.running = set()
        self.publish()
        self.app = create_data_app(self.plane())

    def publish(self, **changes):
        settings = {"timeouts": QUICK, "limits": Limits()} | self.settings | changes
        views = [replace(r.view, ejections=self.ejections[r.name]) for r in self.replicas]
        stand = {
            "replicas": tuple(v for v in views if v.id not in self.ejected),
            "ejected": tuple(v for v in views if v.id in self.ejected),
        }
        model = ModelView(
            name="m",
            created_at=1,
            aliases=("alias", "with/slash"),
            **(stand | settings),
        )
        self.snapshot = FleetSnapshot(version=1, **({"models": {"m": model}} | self.known))
        models = self.snapshot.models or {}  # a test breaks it on purpose
        self.standings.take(models.values(), time.perf_counter())

    def plane(self):
        ids = iter(range(10**9))
        clock = time.perf_counter
        judge = Judge(self.standings, self._failed, self.outliers.append, clock)
        admission = Admission(
            rng=Random(2),
            clock=clock,
            newest=self._newest,
            give_back=lambda replica, slots: self.leases.add(replica.column, -slots),
            queued=self._queued,
        )
        picker = WeightedPick([(LeastInFlight(), 1.0)], Random(1))
        quarantine = Quarantine(clock)
        placing = Placing(self.leases, picker, judge, admission, quarantine, clock)
        pipeline = Pipeline(placing, self.upstreams.get, judge, quarantine, clock)
        return DataPlane(
            snapshot=lambda: self.snapshot,
            pipeline=pipeline,
            recorder=self.recorder,
            tracer=PassThrough(),
            clock=time.perf_counter,
            wall_clock=lambda: 1_800_000_000.5,
            new_id=lambda: f"{next(ids):032x}",
            running=self.running,
        )

    def _newest(self, model):
        return self.snapshot.models.get(model)

    def _queued(self, model, change):
        self.queued[model] += change

    def _failed(self, replica):
        self.failed.append(replica.id)
        self.on_failure()

    @property
    def facts(self):
        return self.recorder.facts[-1]

    def client(self, **known):
        return CLIENTS[self.way](self.app, **known)

    async def post(self, body=COMPLETION, path="/v1/completions", *, begun=None, **known):
        """Return the client once it has its answer; ``begun`` is set as that begins."""
        client = self.client()
        client.begun = begun or client.begun
        await client.post(path, body, **known)
        return client

    @asynccontextmanager
    async def serving(self):
        """Serve on a free port; give an HTTP client of it."""
        spliced = self.app.spliced if self.way == "splice" else {}
        server = self.server = HttpServer(self.app, spliced=spliced)
        with bound_socket("127.0.0.1", 0) as sock:
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(sockets=[sock]))
                await settled(lambda: server.started)
                try:
                    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                        yield client
                finally:
                    server.stop_accepting()


@asynccontextmanager
async def gateway_over(*replicas, known=None, **settings):
    """Give a data plane over replicas that listen; nothing of it is left open at the end."""
    async with AsyncExitStack() as stack:
        for column, replica in enumerate(replicas):
            replica.name, replica.column = f"r{column}", column
            await stack.enter_async_context(replica.listening())
        gateway = DataGateway([*replicas], settings, known or {})
        stack.callback(gateway.upstreams.close)
        yield gateway
        assert not any(gateway.leases.open.values()), "a lease was not given back once"
        assert gateway.running == set()
