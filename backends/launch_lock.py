"""One launch at a time in a folder, even across a crash in the middle of one.

Between fork and exec a new process carries its parent's environment: no scan finds it. But it
holds its parent's open files until it execs, this lock among them, so whoever gets the lock can
trust a scan, though the former holder was killed half way.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_PAUSE_S = 0.005


@asynccontextmanager
async def launch_lock(path: Path) -> AsyncIterator[None]:
    """Hold the lock of a folder of replicas, made if need be.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Python opens with O_CLOEXEC: an exec, and only that, lets a child's hold go.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _try_lock(descriptor):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
