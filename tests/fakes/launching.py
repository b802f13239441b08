"""What tests of `ProcessLauncher` share: the stand-in, waiting for it, cleaning up."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from backends.replica import ReplicaId, ReplicaSpec

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "fakes" / "trtllm_serve.py"
R1 = ReplicaId("r1")


def spec(*, gpus=(), files=None, argv=None, **env):
    command = (sys.executable, str(FAKE), "m", "--host", "{host}", "--port", "{port}")
    return ReplicaSpec(
        "m", "m", "process", argv=argv or command, env=env, files=files or {}, gpus=gpus
    )


@asynccontextmanager
async def running(make, **options):
    """A launcher whose replicas are ended with the test, however it goes."""
    launcher = make(**options)
    try:
        yield launcher
    finally:
        sweeper = make()
        async for replica in sweeper.adopt():
            await sweeper.stop(replica.id, grace_s=0)
        await sweeper.close()
        await launcher.close()


async def eventually(condition, *, within_s=60.0):
    with anyio.fail_after(within_s):
        while not (value := condition()):  # noqa: ASYNC110 - another process decides
            await anyio.sleep(0.02)
    return value


async def started(tmp_path):
    """Return the log of the stand-in once it serves."""
    log = tmp_path / "replicas" / "r1" / "output.log"
    await eventually(lambda: log.exists() and "visible devices" in log.read_text())
    return log.read_text()


async def ended(launcher, replica_id=R1):
    with anyio.fail_after(60):
        while (end := await launcher.ended(replica_id)) is None:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.02)
    return end
