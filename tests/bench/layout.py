"""Which core is whose: each worker has one of its own, what feeds them stays off them.

Two threads of one physical core are not two cores: a worker gets a whole physical core as long
as there are enough, and its second thread stays empty.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from tests.bench import procfs

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_WATCH_S = 1.0

Cores = Sequence[Sequence[int]]
"""Physical cores, each as the numbers of its threads."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Threads of cores by the number that the kernel gives them."""

    workers: Sequence[int]
    supervisor: int
    feeders: Sequence[int]
    """One for each mock and each load generator; a number may come twice."""
    workers_alone: bool
    """No two share a physical core of which one is a worker's."""


def lay_out(cores: Cores, workers: int, feeders: int) -> Layout:
    """Place ``workers``, one supervisor and ``feeders`` on ``cores``, the first ones first.

    Where that is not enough, second threads are used, and in the end everybody shares.
    """
    physical = {thread: number for number, core in enumerate(cores) for thread in core}
    threads = [*(core[0] for core in cores), *(each for core in cores for each in core[1:])]
    placed = list(islice(cycle(threads), workers))
    owned = [physical[thread] for thread in placed]
    unplaced = [thread for thread in threads if thread not in placed]
    rest = [each for each in unplaced if physical[each] not in owned] or unplaced or threads
    supervisor, *others = rest
    fed = list(islice(cycle(others if len(others) > 1 else rest), feeders))
    beside = {physical[thread] for thread in (supervisor, *fed)}
    alone = len(set(owned)) == workers and beside.isdisjoint(owned)
    return Layout(placed, supervisor, fed, alone)


def physical_cores() -> Cores:
    """Return the cores that this process may use, the idlest first."""
    allowed = os.sched_getaffinity(0)
    groups = {tuple(sorted(_siblings(thread) & allowed)) for thread in allowed}
    idle = procfs.idle_shares(_WATCH_S)

    def busy(core: Sequence[int]) -> tuple[float, int]:
        share = min((idle.get(f"cpu{thread}", 0.0) for thread in core), default=0.0)
        return -round(share, 1), core[0]

    return sorted(groups, key=busy)


def _siblings(thread: int) -> set[int]:
    try:
        text = Path(_TOPOLOGY.format(thread)).read_text()
    except OSError:  # a kernel that does not say
        return {thread}
    spans = [part.split("-") for part in text.strip().split(",")]
    return {n for span in spans for n in range(int(span[0]), int(span[-1]) + 1)} | {thread}
