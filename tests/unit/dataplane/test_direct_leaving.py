import asyncio

import pytest

from gateway.dataplane.client import ClientLeft
from tests.unit.dataplane.lines import connected

pytestmark = pytest.mark.anyio

EVENT = b"data: 1\n\n"


async def watched(client, work, *, write_s=60.0):
    async with client.leaving(write_s=write_s):
        return await work


@pytest.mark.parametrize("before", [True, False])
async def test_work_whose_client_leaves_ends_at_once(before):
    _, client = connected()
    if before:
        client.lost()
    else:
        asyncio.get_running_loop().call_soon(client.lost)
    with pytest.raises(ClientLeft):
        await watched(client, asyncio.Event().wait())
    assert asyncio.current_task().cancelling() == 0


async def test_work_that_ends_before_its_client_leaves_is_not_disturbed():
    _, client = connected()
    assert await watched(client, asyncio.sleep(0, 5)) == 5
    client.lost()
    await asyncio.sleep(0)


async def test_the_close_after_an_answer_is_no_leaving():
    _, client = connected()

    async def work():
        client.write(EVENT, last=True)
        client.lost()
        await asyncio.sleep(0)
        return "settled"

    assert await watched(client, work()) == "settled"


async def test_the_end_of_the_worker_is_not_taken_for_the_clients():
    _, client = connected()

    async def serve():
        client.task = asyncio.current_task()
        await watched(client, asyncio.Event().wait())

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve())
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()


@pytest.mark.parametrize("before", [True, False], ids=["paused before", "paused meanwhile"])
async def test_a_client_that_reads_nothing_has_left(before):
    _, client = connected(unread_bytes=100)
    loop = asyncio.get_running_loop()
    if before:
        client.paused = True
    else:
        loop.call_soon(client.writing_paused)
        loop.call_soon(client.writing_paused)  # told twice: one limit
    with pytest.raises(ClientLeft):
        await watched(client, asyncio.Event().wait(), write_s=0.05)


async def test_a_client_that_reads_on_in_time_has_not():
    _, client = connected(unread_bytes=100)
    loop = asyncio.get_running_loop()
    async with client.leaving(write_s=0.05):
        client.writing_paused()
        client.writing_resumed()
        fired = loop.create_future()
        loop.call_later(0.2, fired.set_result, None)  # later than the limit that was lifted
        await fired
    assert not client.paused


async def test_one_that_reads_little_by_little_has_not_either():
    line, client = connected(unread_bytes=100)
    looks = []

    def read_some():
        looks.append(line.unread_bytes)
        line.unread_bytes -= 1 if len(looks) < 5 else 0
        return line.unread_bytes

    line.get_write_buffer_size = read_some
    client.paused = True
    with pytest.raises(ClientLeft):
        await watched(client, asyncio.Event().wait(), write_s=0.01)
    assert looks[:5] == [100, 99, 98, 97, 96]


async def test_a_limit_to_reading_ends_with_the_answer():
    line, client = connected(unread_bytes=100)
    async with client.leaving(write_s=0.01):
        line.on_write = client.writing_paused
        client.write(EVENT, last=True)
        await asyncio.sleep(0.1)
    assert line.answer()[2] == EVENT


async def test_a_reply_waits_until_the_answer_before_it_was_read():
    line, client = connected()
    line.waits_drained = asyncio.get_running_loop().create_future()
    client.paused = True
    async with asyncio.TaskGroup() as tasks:
        replying = tasks.create_task(client.reply(200, b"{}"))
        await asyncio.sleep(0.01)
        assert line.written == b""
        client.writing_resumed()
        line.waits_drained.set_result(None)
    assert replying.done()
    assert line.answer()[0] == 200


async def test_a_client_that_leaves_meanwhile_gets_no_reply():
    line, client = connected()
    line.waits_drained = asyncio.get_running_loop().create_future()
    client.paused = True
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.reply(200, b"{}"))
        await asyncio.sleep(0)
        client.lost()
        line.lost = True
        line.waits_drained.set_result(None)
    assert line.answers == 0
