"""A gateway whose fleet is never still: replicas come, go, fail and return, clients leave."""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.system.family import resident_bytes, worker_pids
from tests.system.rolling import CHAT, Load
from tests.system.running import RunningGateway
from tests.system.streaming import stream

_HOUR_S, _MB = 3600, 1_000_000
_LAG = "trtgw_event_loop_lag_seconds_bucket"
_WARM_SHARE = 0.25
"""Of the time, before memory is held to have settled."""


def descriptors(pid: int) -> int:
    """Return how many files a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass
class Samples:
    """Memory and descriptors of a gateway's processes, over time."""

    gateway: RunningGateway
    memory: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def pids(self) -> list[int]:
        """Return the supervisor and the workers."""
        return [self.gateway.pid, *sorted(worker_pids(self.gateway))]

    def look(self, at: float) -> None:
        """Note the memory of each process."""
        for pid in self.pids():
            self.memory.setdefault(pid, []).append((at, resident_bytes(pid)))

    def slopes_mb_h(self) -> dict[str, float]:
        """Return the growth of each process, by a straight line through all after warm-up."""
        return {
            ("supervisor" if pid == self.gateway.pid else f"worker {number}"): _slope(seen)
            for number, (pid, seen) in enumerate(self.memory.items())
        }

    def ends_mb(self) -> dict[str, list[float]]:
        """Return the memory of each process after warm-up, and at the end."""
        return {
            str(number): [round(_warm(seen)[0][1] / _MB, 1), round(seen[-1][1] / _MB, 1)]
            for number, seen in enumerate(self.memory.values())
        }


def _warm(seen: Sequence[tuple[float, int]]) -> Sequence[tuple[float, int]]:
    return seen[int(len(seen) * _WARM_SHARE) :]


def _slope(seen: Sequence[tuple[float, int]]) -> float:
    times, sizes = zip(*_warm(seen), strict=True)
    if len(set(times)) < 2:
        return 0.0
    return round(statistics.linear_regression(times, sizes).slope * _HOUR_S / _MB, 2)


def loop_lags(gateway: RunningGateway) -> dict[float, float]:
    """Return how often the workers' loops were at most so many seconds late, so far."""
    text = httpx.get(gateway.admin_url + "/metrics", timeout=30).text
    counts: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _LAG:
                limit = float(sample.labels["le"])
                counts[limit] = counts.get(limit, 0.0) + sample.value
    return counts


def lag_p99_ms(before: Mapping[float, float], after: Mapping[float, float]) -> float:
    """Return the bucket that 99 of 100 timers are in, as its upper bound."""
    counts = {limit: after[limit] - before.get(limit, 0.0) for limit in sorted(after)}
    most = max(counts.values())
    return next(limit for limit, count in counts.items() if count >= most * 0.99) * 1000


@dataclass
class Churn:
    """Everything that is never still, for as long as it is let."""

    gateway: RunningGateway
    model: str
    load: Load
    rng: Random
    done: dict[str, int] = field(
        default_factory=lambda: {"left": 0, "faults": 0, "added": 0, "removed": 0}
    )

    async def run(self, seconds: float, every_s: float) -> None:
        """Let clients leave all the time, and change something in the fleet ``every_s``."""
        ends_at = time.monotonic() + seconds
        leaving = [asyncio.ensure_future(self._leave(ends_at)) for _ in range(4)]
        try:
            # No connection is kept: replicas close theirs after 5 s, which a request may meet.
            alone = httpx.Limits(max_keepalive_connections=0)
            async with httpx.AsyncClient(timeout=60, limits=alone) as admin:
                while time.monotonic() < ends_at:
                    for change in (self._fault, self._add, self._remove):
                        await change(admin, every_s)
        finally:
            await asyncio.gather(*leaving)

    async def _leave(self, ends_at: float) -> None:
        while time.monotonic() < ends_at:
            body, _ = self.load.truths[-1]
            after = self.rng.randint(1, 20)
            await stream(self.gateway.url, CHAT, dict(body), leave_after=after)
            self.done["left"] += 1
            await asyncio.sleep(0.1)

    async def _ready(self, admin: httpx.AsyncClient) -> list[dict[str, Any]]:
        answer = await admin.get(self.gateway.admin_url + "/admin/replicas")
        return [r for r in answer.json()["items"] if r["state"] == "ready"]

    async def _fault(self, admin: httpx.AsyncClient, every_s: float) -> None:
        ready = await self._ready(admin)
        if len(ready) > 1:
            url = ready[0]["url"] + "/_sim/faults"
            await admin.post(url, json=[{"kind": self.rng.choice(["http_error", "eof"])}])
            await asyncio.sleep(every_s)
            await admin.delete(url)
            self.done["faults"] += 1

    async def _add(self, admin: httpx.AsyncClient, every_s: float) -> None:
        url = self.gateway.admin_url + "/admin/replicas"
        answer = await admin.post(url, json={"model": self.model})
        self.done["added"] += answer.status_code == httpx.codes.ACCEPTED
        await asyncio.sleep(every_s)

    async def _remove(self, admin: httpx.AsyncClient, every_s: float) -> None:
        ready = await self._ready(admin)
        if len(ready) > 2:
            url = f"{self.gateway.admin_url}/admin/replicas/{ready[0]['id']}"
            answer = await admin.delete(url)
            self.done["removed"] += answer.status_code == httpx.codes.ACCEPTED
        await asyncio.sleep(every_s)
