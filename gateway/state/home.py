"""The state directory: made for this user alone, and owned by one supervisor at a time.

The lock is on an open file and ends with the process, however it ends; children do not inherit
it.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

_LOCK = "lock"


class StateDirInUse(Exception):  # noqa: N818 - names the condition
    """Another supervisor owns the directory."""


class StateDirUnusable(Exception):  # noqa: N818 - names the condition
    """The directory cannot be made or written."""


def take(folder: Path) -> IO[str]:
    """Make the directory if need be and own it; keep the returned file open for as long.

    Raises:
        StateDirInUse: another supervisor runs on it.
        StateDirUnusable: it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a+", encoding="ascii")
    except OSError as problem:
        raise StateDirUnusable(
            f"the state directory {folder} cannot be used ({problem.strerror}); set"
            " state.dir to one that this user may write"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise StateDirInUse(
            f"another gateway (process {owner}) runs on the state directory {folder}; stop it,"
            " or give this one its own with state.dir"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
