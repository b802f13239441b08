"""Processes as /proc shows them: found by the tags in their environment, named past pid reuse.

Tags are inherited, so they find what a replica started too, in whatever session or process
group and whoever its parent is now. An environment is readable only by the same user.
"""

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD
_LOOKS, _LOOK_AGAIN_S = 4, 0.002
INSTANCE, REPLICA_ID, LAUNCHER = "TRTGW_INSTANCE", "TRTGW_REPLICA_ID", "TRTGW_LAUNCHER"
URL, SPEC_HASH, LEADER = "TRTGW_URL", "TRTGW_SPEC_HASH", "TRTGW_LEADER"


@dataclass(frozen=True, slots=True)
class Stat:
    """What the kernel says of a process."""

    state: str
    parent: int
    session: int
    flags: int
    """The kernel's PF_ flags."""
    start_ticks: int
    """Clock ticks from boot to its start: with the pid, one process and no other."""


@dataclass(frozen=True, slots=True)
class TaggedProcess:
    """A process that a launcher started, or a descendant of one."""

    pid: int
    stat: Stat
    tags: Mapping[str, str]

    @property
    def is_leader(self) -> bool:
        """Whether it is the process that the launcher itself started.

        `LEADER` is set just after the start, and a descendant always inherits it.
        """
        own = str(self.pid)
        return self.stat.session == self.pid and self.tags.get(LEADER, own) == own


def read_stat(pid: int) -> Stat | None:
    """Return None when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    return Stat(fields[0], int(fields[1]), int(fields[3]), int(fields[6]), int(fields[19]))


def find_tagged(instance: str, launcher: str) -> list[TaggedProcess]:
    """Return all live processes that carry these tags; blocks for milliseconds."""
    marks = {f"{INSTANCE}={instance}".encode(), f"{LAUNCHER}={launcher}".encode()}
    found: list[TaggedProcess] = []
    unread = [int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdecimal()]
    for _ in range(_LOOKS):
        environments = {pid: _environment(pid) for pid in unread}
        for pid, variables in environments.items():
            stat = read_stat(pid) if marks.issubset(variables) else None
            if stat is not None:
                found.append(TaggedProcess(pid, stat, _tags(variables)))
        unread = [pid for pid, variables in environments.items() if _in_exec(pid, variables)]
        if not unread:
            break
        time.sleep(_LOOK_AGAIN_S)
    return found


def _environment(pid: int) -> list[bytes]:
    """Return each ``NAME=value``; empty where it may not be read or nobody is there."""
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _in_exec(pid: int, variables: list[bytes]) -> bool:
    """Say whether a process may be between two programs: it shows no environment then."""
    if variables != [b""]:
        return False
    stat = read_stat(pid)
    return stat is not None and stat.state not in "ZX" and not stat.flags & _KERNEL_THREAD


def _tags(variables: list[bytes]) -> dict[str, str]:
    pairs = (v.decode(errors="replace").partition("=") for v in variables if v[:6] == b"TRTGW_")
    return {name: value for name, _, value in pairs}


def open_pidfd(pid: int, start_ticks: int) -> int | None:
    """Return a descriptor of exactly this process, to be closed; None if it is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    stat = read_stat(pid)  # after the open: the pid cannot change hands any more
    if stat is None or stat.start_ticks != start_ticks:
        os.close(pidfd)
        return None
    return pidfd


def send_signal(process: TaggedProcess, number: signal.Signals) -> None:
    """Send a signal to exactly this process; nothing happens if it is gone."""
    pidfd = open_pidfd(process.pid, process.stat.start_ticks)
    if pidfd is None:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def dead_children() -> frozenset[tuple[int, int]]:
    """Return pid and start ticks of children that ended and that nobody has collected yet."""
    dead = set()
    for pid in _children():
        stat = read_stat(pid)
        if stat is not None and stat.state == "Z":
            dead.add((pid, stat.start_ticks))
    return frozenset(dead)


def collect(pid: int) -> None:
    """Collect a dead child; nothing happens if somebody was faster."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


def _children() -> list[int]:
    found: list[int] = []
    for thread in (_PROC / "self/task").iterdir():
        with suppress(OSError):  # the thread ended, or a kernel without this file
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


@cache
def boot_id() -> str:
    """Return the id of this boot: start ticks of different boots cannot be compared."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def become_subreaper() -> None:
    """Let orphans of this process's children become its own, so that it can collect them.

    Call it once in the supervisor, before the first launch.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
