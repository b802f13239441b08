"""What processes have used, as the kernel counts it: CPU, waiting for a core, memory.

CPU comes from ``schedstat`` (nanoseconds), thread by thread: the file of the process itself
tells its first thread only. Kernels without it (gVisor) count in ``stat``, in ticks of 10 ms,
and do not tell how long a thread waited for a core: the figures of such a machine say so.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_NS_PER_US = 1000
_US_PER_S = 1_000_000
_BYTES_PER_MB = 1_000_000
_COUNTED_TICKS = 8
"""user to steal; guests' time is in user's already."""


@dataclass(frozen=True, slots=True)
class Used:
    """CPU that was used, and time for which a thread could have run but had no core."""

    cpu_us: float
    waited_us: float

    def since(self, before: "Used") -> "Used":
        """Return what came on top of ``before``."""
        return Used(self.cpu_us - before.cpu_us, self.waited_us - before.waited_us)


def counts_waiting() -> bool:
    """Say whether this kernel has ``schedstat``: else CPU is counted in ticks, waiting not."""
    return (_PROC / "self/schedstat").exists()


def used(pids: Iterable[int]) -> Used:
    """Return what these processes have used together; one that is gone counts nothing."""
    count = _schedstats if counts_waiting() else _ticks
    pairs = [pair for pid in pids for pair in count(pid)]
    return Used(sum(cpu for cpu, _ in pairs), sum(waited for _, waited in pairs))


def _ticks(pid: int) -> Iterator[tuple[float, float]]:
    with suppress(OSError):  # the process ended
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        fields = stat.rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        yield (user + system) * _US_PER_S / os.sysconf("SC_CLK_TCK"), 0.0


def _schedstats(pid: int) -> Iterator[tuple[float, float]]:
    for thread in threads(pid):
        with suppress(OSError):  # the thread ended
            numbers = (_PROC / str(pid) / f"task/{thread}/schedstat").read_text().split()
            yield int(numbers[0]) / _NS_PER_US, int(numbers[1]) / _NS_PER_US


def threads(pid: int) -> list[int]:
    """Return the ids of a process's threads; none when it is gone."""
    with suppress(OSError):
        return [int(each.name) for each in (_PROC / str(pid) / "task").iterdir()]
    return []


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    parents = dict(_parents())
    found = [pid]
    for each in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended
                stat = (entry / "stat").read_text(errors="replace")
                yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def command(pid: int) -> str:
    """Return a process's command line; empty when it is gone."""
    with suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def resident_mb(pid: int) -> float:
    """Return the memory that a process holds, in millions of bytes.

    Raises:
        OSError: it is gone.
    """
    pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _BYTES_PER_MB


def core_times() -> Mapping[str, tuple[int, int]]:
    """Return idle and all ticks since boot, of ``cpu`` (all cores), ``cpu0`` and so on."""
    lines = (_PROC / "stat").read_text().splitlines()
    return dict(_times(line.split()) for line in lines if line.startswith("cpu"))


def _times(words: Sequence[str]) -> tuple[str, tuple[int, int]]:
    ticks = [int(number) for number in words[1 : _COUNTED_TICKS + 1]]
    return words[0], (ticks[3] + ticks[4], sum(ticks))


def idle_shares(for_s: float) -> Mapping[str, float]:
    """Watch for ``for_s`` and return how idle each was meanwhile, keyed as `core_times`."""
    before = core_times()
    time.sleep(for_s)
    return {
        name: (idle - before[name][0]) / max(1, ticks - before[name][1])
        for name, (idle, ticks) in core_times().items()
    }


def processor() -> str:
    """Return the model of the machine's processor; empty when the kernel does not say."""
    for line in (_PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return ""
