"""Measure how late the event loop runs its timers.

A late loop delays every stream of its worker alike, which looks like slow replicas; this metric
tells the two apart.
"""

import asyncio
from collections.abc import Callable

INTERVAL_S = 0.25


async def watch_loop_lag(
    observe: Callable[[float], None],
    *,
    clock: Callable[[], float],
    interval_s: float = INTERVAL_S,
) -> None:
    """Call ``observe`` with the lag in seconds after each interval, until cancelled."""
    while True:
        due = clock() + interval_s
        await asyncio.sleep(interval_s)
        observe(max(0.0, clock() - due))
