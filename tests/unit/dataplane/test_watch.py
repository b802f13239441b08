import asyncio
import time

import pytest

from gateway.dataplane.watch import PortLimits, Watch

pytestmark = pytest.mark.anyio


class Connection:
    """Waits for its client; notes when it was told that it waited too long."""

    due = None

    def __init__(self):
        self.told = asyncio.Event()

    def overdue(self, at):  # noqa: ARG002 - what a watch calls
        self.told.set()


async def test_a_wait_ends_in_its_time():
    connection, watch = Connection(), Watch(PortLimits(header_s=0.2))
    watch.wait(connection, 0.2)
    async with asyncio.timeout(30):
        await connection.told.wait()


async def test_while_the_loop_stood_still_no_client_was_late():
    connection, watch = Connection(), Watch(PortLimits(header_s=0.2))
    watch.wait(connection, 0.2)
    time.sleep(0.6)  # noqa: ASYNC251 - a loop that stands still
    await asyncio.sleep(0)  # the look that is due comes now
    assert not connection.told.is_set()
    connection.due = None  # what it waited for is read in this turn of the loop
    await asyncio.sleep(0.2)
    assert not connection.told.is_set()
