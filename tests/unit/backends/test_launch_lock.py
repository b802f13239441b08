import os
import subprocess
import sys

import anyio
import pytest

from backends.launch_lock import launch_lock

pytestmark = pytest.mark.anyio

_KILLED_BETWEEN_FORK_AND_EXEC = """
import asyncio, os, signal, sys, time
from pathlib import Path
from backends.launch_lock import launch_lock

async def main(path):
    async with launch_lock(Path(path)):
        if os.fork() == 0:
            print(os.getpid(), flush=True)
            sys.stdin.read()
            os.execv("/bin/sleep", ["sleep", "600"])
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_one_holds_it_at_a_time(tmp_path):
    held = []

    async def hold():
        async with launch_lock(tmp_path / "replicas" / "lock"):
            assert not held
            held.append(1)
            await anyio.sleep(0.02)
            held.clear()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(hold)


async def test_a_child_between_fork_and_exec_holds_it_for_its_dead_parent(tmp_path):
    path, unblock = tmp_path / "lock", os.pipe()
    holder = subprocess.Popen(  # noqa: ASYNC220 - starts and returns
        [sys.executable, "-c", _KILLED_BETWEEN_FORK_AND_EXEC, path],
        stdin=unblock[0],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    child = int(holder.stdout.readline())
    holder.wait()
    with anyio.move_on_after(0.1) as waited:
        async with launch_lock(path):
            pass
    assert waited.cancelled_caught
    os.close(unblock[0])
    os.close(unblock[1])
    with anyio.fail_after(60):
        async with launch_lock(path):
            os.kill(child, 9)
    holder.stdout.close()
