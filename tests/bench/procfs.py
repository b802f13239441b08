"""What processes have used, as the kernel counts it: CPU, waiting for a core, memory.

CPU comes from ``schedstat`` (nanoseconds), not from ``stat`` (ticks of 10 ms), thread by thread:
the file of the process itself tells its first thread only.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_NS_PER_US = 1000
_BYTES_PER_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Used:
    """CPU that was used, and time for which a thread could have run but had no core."""

    cpu_us: float
    waited_us: float

    def since(self, before: "Used") -> "Used":
        """Return what came on top of ``before``."""
        return Used(self.cpu_us - before.cpu_us, self.waited_us - before.waited_us)


def used(pids: Iterable[int]) -> Used:
    """Return what these processes have used together; one that is gone counts nothing."""
    pairs = [pair for pid in pids for pair in _schedstats(pid)]
    return Used(sum(cpu for cpu, _ in pairs), sum(waited for _, waited in pairs))


def _schedstats(pid: int) -> Iterator[tuple[float, float]]:
    for thread in threads(pid):
        with suppress(OSError):  # the thread ended
            numbers = (_PROC / str(pid) / f"task/{thread}/schedstat").read_text().split()
            yield int(numbers[0]) / _NS_PER_US, int(numbers[1]) / _NS_PER_US


def threads(pid: int) -> list[int]:
    """Return the ids of a process's threads; none when it is gone."""
    with suppress(OSError):
        return [int(name) for name in os.listdir(_PROC / str(pid) / "task")]  # noqa: PTH208 - no Path objects
    return []


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for each in found:
        for thread in threads(each):
            with suppress(OSError):
                children = (_PROC / str(each) / f"task/{thread}/children").read_text()
                found += map(int, children.split())
    return found


def command(pid: int) -> str:
    """Return a process's command line; empty when it is gone."""
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def resident_mb(pid: int) -> float:
    """Return the memory that a process holds, in millions of bytes."""
    pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _BYTES_PER_MB


def core_times() -> tuple[int, int]:
    """Return idle and all ticks of the machine's cores since its boot."""
    line = (_PROC / "stat").read_text().partition("\n")[0]
    ticks = [int(number) for number in line.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
