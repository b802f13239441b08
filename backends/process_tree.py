"""End what is left of a replica: every process that carries its tags, wherever it hides.

A replica is not one process group: MPI puts its ranks into sessions and groups of their own, so
neither a group nor a session reaches them all. The end is proven by a scan that finds nothing.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence

from backends.launcher import StopNotProven
from backends.procfs import TaggedProcess, send_signal

Scan = Callable[[], Sequence[TaggedProcess]]
"""Finds the live processes of one replica; blocks for milliseconds."""

_PAUSE_S = 0.05
_KILL_S = 10.0
"""A killed process stays only while it is stuck in the kernel, in a driver mostly."""


async def end_tree(scan: Scan, *, settle_s: float, kill_s: float = _KILL_S) -> None:
    """Ask what ``scan`` finds to end, kill it after ``settle_s``, return when all is gone.

    Raises:
        StopNotProven: something is still there ``kill_s`` after it was killed.
    """
    if settle_s > 0 and not await _signal_until_gone(scan, signal.SIGTERM, settle_s):
        return
    if left := await _signal_until_gone(scan, signal.SIGKILL, kill_s):
        pids = ", ".join(f"{process.pid} (state {process.stat.state})" for process in left)
        raise StopNotProven(
            f"still running {kill_s:g} s after SIGKILL: pid {pids}; it may hold GPUs,"
            " and only the driver or a reboot can end it"
        )


async def _signal_until_gone(
    scan: Scan, number: signal.Signals, for_s: float
) -> Sequence[TaggedProcess]:
    """Signal each process once, kill newcomers too; return what is left when time is up."""
    told: set[int] = set()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + for_s
    while found := await asyncio.to_thread(scan):
        for process in found:
            if process.pid not in told:
                told.add(process.pid)
                send_signal(process, number)
        if loop.time() >= deadline:
            return found
        await asyncio.sleep(_PAUSE_S)
    return ()
