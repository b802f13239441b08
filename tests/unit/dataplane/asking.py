"""Ask a scripted replica through `Upstream`."""

import asyncio
import time
from contextlib import asynccontextmanager

from gateway.core.snapshot import Timeouts
from gateway.dataplane.upstream import Upstream
from tests.fakes.replica import answering


@asynccontextmanager
async def upstream_to(*scripts, clock=time.perf_counter):
    async with answering(*scripts).listening() as replica:
        upstream = Upstream("127.0.0.1", replica.port, clock=clock)
        try:
            yield upstream, replica
        finally:
            upstream.close()


BODY = (b'{"a"', memoryview(b":1}"))


async def ask(upstream, *, until_s=20.0, connect_s=5, write_s=20.0, body=BODY):
    async def wait(answer):
        await answer.head(asyncio.get_running_loop().time() + until_s)

    return await upstream.ask(
        "/v1/completions",
        body,
        headers=b"x-request-id: q\r\n",
        timeouts=Timeouts(connect_s=connect_s, write_s=write_s),
        wait=wait,
    )


async def read_all(answer, *, until_s=20.0):
    parts = []
    try:
        while True:
            piece = await answer.read(asyncio.get_running_loop().time() + until_s)
            if piece is None:
                return b"".join(parts)
            parts.append(piece[1])
    finally:
        answer.close()
