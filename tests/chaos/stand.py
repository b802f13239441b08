"""A gateway, its replicas, and a proxy in front of each: what a chaos run is made against.

One simulated server stands behind all proxies: to the gateway they are as many replicas.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.calls import MODEL
from tests.chaos.faults import STARVED, Schedule, Strikes
from tests.chaos.ledger import Ledger
from tests.chaos.proxy import STOOD_STILL_S, Proxy
from tests.chaos.replica import MODEL as SOURCE
from tests.chaos.waiting import until
from tests.system.running import (
    RunningGateway,
    eventually,
    free_ports,
    gateway_config,
    running,
    running_gateway,
)

REPLICAS = 4
SILENCE_S = 5.0
"""How long the gateway waits for a token; a replica that works takes a hundredth of it."""
CHANGED_WORKER = Path(__file__).parents[1] / "fakes/changed_worker"
_NO_RETRY = "no_retry"
CHANGES = ("ends_believed", _NO_RETRY)
"""What can be taken away from it: by a patch of its workers, or by its configuration."""
_OFF = 1_000_000
_WINDOW_EVERY = 60
"""Calls, from the end of one window to the next."""


@dataclass
class Stand:
    """What runs."""

    ledger: Ledger
    proxies: list[Proxy]
    gateway: RunningGateway | None
    """None: clients speak to the first proxy itself."""

    @property
    def url(self) -> str:
        """Where clients go."""
        return self.proxies[0].url if self.gateway is None else self.gateway.url

    @property
    def replicas(self) -> list[str]:
        """Names of the proxies."""
        return [proxy.name for proxy in self.proxies]

    async def at_rest(self) -> None:
        """Wait until no answer is under way: then the ledger is complete."""
        await until(lambda: not any(proxy.busy for proxy in self.proxies))

    async def ready(self) -> None:
        """Wait until the gateway uses every replica."""
        if self.gateway is not None:
            wanted = {MODEL: len(self.proxies)}
            await asyncio.to_thread(self.gateway.wait_ready, wanted)

    async def open_windows(self, schedule: Schedule) -> None:
        """Let one replica after the other fail as a whole, until cancelled."""
        arrived = self.ledger.arrivals.total
        for index in count():
            due = arrived() + _WINDOW_EVERY
            await until(partial(_reached, arrived, due))
            await self._open_window(schedule, index)

    async def watch_time(self) -> None:
        """Note when nothing here got any time, until cancelled: replicas seem dead then."""
        clock = self.ledger.clock
        while True:
            before = clock()
            await asyncio.sleep(STOOD_STILL_S / 10)
            if clock() - before > STOOD_STILL_S:
                windows = [self.ledger.open_window(STARVED, name) for name in self.replicas]
                await self.ready()
                for window in windows:
                    window.opened_at, window.closed_at = before, clock()

    async def _open_window(self, schedule: Schedule, index: int) -> None:
        drawn = schedule.window(index, len(self.proxies))
        proxy = self.proxies[drawn.replica]
        begin, end = _ways(proxy, drawn.kind)
        window = self.ledger.open_window(drawn.kind, proxy.name)
        try:
            await begin()
            await asyncio.sleep(drawn.hold_s)
        finally:
            await end()
            # It is felt until a probe has found the replica well again.
            await self.ready()
            window.closed_at = self.ledger.clock()


def _reached(count_now: Callable[[], int], due: int) -> bool:
    return count_now() >= due


_Way = Callable[[], Awaitable[None]]


def _ways(proxy: Proxy, kind: str) -> tuple[_Way, _Way]:
    """Return what begins a window of ``kind``, and what ends it."""
    if kind == "dark":
        return proxy.darken, proxy.lighten
    return (proxy.fall if kind == "down" else proxy.refuse), proxy.open


@asynccontextmanager
async def standing(
    folder: Path,
    strikes: Strikes,
    *,
    replicas: int = REPLICAS,
    gateway: bool = True,
    changes: Sequence[str] = (),
) -> AsyncIterator[Stand]:
    """Run a stand whose answers meet ``strikes``.

    Args:
        folder: gets logs and state.
        strikes: see `Strikes`.
        replicas: how many there seem to be.
        gateway: False leaves it out.
        changes: what is taken away, of `CHANGES`.
    """
    ledger = Ledger(time.monotonic)
    async with AsyncExitStack() as stack:
        port = await _entered(stack, _replica(folder))
        proxies = [Proxy(f"replica-{n}", port, strikes, ledger) for n in range(replicas)]
        for proxy in proxies:
            await proxy.open()
            stack.push_async_callback(proxy.close)
        started = None
        if gateway:
            started = await _entered(stack, _gateway(folder, proxies, changes))
        yield Stand(ledger, proxies, started)


async def _entered(stack: AsyncExitStack, blocking: Any) -> Any:
    """Enter a context that blocks, while the proxies go on."""
    value = await asyncio.to_thread(blocking.__enter__)

    async def leave(*exc: object) -> None:
        await asyncio.to_thread(blocking.__exit__, *exc)

    stack.push_async_exit(leave)
    return value


@contextmanager
def _replica(folder: Path):
    (port,) = free_ports(1)
    argv = [sys.executable, "-m", "tests.chaos.replica", str(port)]
    with running(argv, folder / "replica.log"):
        url = f"http://127.0.0.1:{port}/health"
        eventually(lambda: httpx.get(url).is_success, "the replica runs")
        yield port


@contextmanager
def _gateway(folder: Path, proxies: Sequence[Proxy], changes: Sequence[str]):
    patches = [change for change in changes if change != _NO_RETRY]
    environ = {}
    if patches:
        environ = {"PYTHONPATH": str(CHANGED_WORKER), "CHANGED_WORKER": " ".join(patches)}
    attempts = 1 if _NO_RETRY in changes else len(proxies)
    with running_gateway(
        folder,
        config=_config(folder, [proxy.url for proxy in proxies], attempts),
        environ=environ,
        ready={MODEL: len(proxies)},
    ) as gateway:
        said = gateway.log_text()
        assert [c for c in patches if f"this worker is changed: {c}\n" in said] == patches
        yield gateway


def _config(folder: Path, urls: Sequence[str], attempts: int) -> dict[str, Any]:
    return gateway_config(
        folder,
        server={"workers": 1},
        models=[
            {
                "name": MODEL,
                "source": SOURCE,
                "static": [*urls],
                # Each request shows its own fate: nobody is left out for what it did to others.
                "retry": {"attempts": attempts, "budget_share": 1, "budget_min": _OFF},
                "eject": {"consecutive": _OFF, "over_requests": _OFF, "slow_start_s": 0},
                "hang": {"silent_s": None},
                "timeouts": {
                    "connect_s": SILENCE_S,
                    "first_token_s": SILENCE_S,
                    "between_tokens_s": SILENCE_S,
                    # No fault waits for it: windows end, and other silence is for streams.
                    "total_unstreamed_s": 50,
                    "total_s": 300,
                    "header_commit_s": SILENCE_S / 2,
                },
            }
        ],
    )
