"""Tell a live process from a later one that was given its pid.

A process is named by its pid and its start ticks together; a pid alone may be reused.
"""

from pathlib import Path

_START_TICKS = 22 - 3
"""Field 22 of ``/proc/PID/stat``, counted from field 3, the first after the last ``)``.

Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""
_GONE = frozenset({"Z", "X", "x"})


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _GONE else int(fields[_START_TICKS])


def is_alive(pid: int, ticks: int) -> bool:
    """Say whether the process that started at ``ticks`` still runs."""
    return start_ticks(pid) == ticks
