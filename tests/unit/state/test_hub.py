"""Who is told to see to whose sockets, and how workers of several starts are told apart."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.state.bus import Hello
from gateway.state.hub import Hub
from gateway.state.link import Orders, SupervisorLink

pytestmark = pytest.mark.anyio


class Worker:
    """A worker's end of the bus, and what it was told."""

    def __init__(self, folder, slot, generation="now"):
        self.covers, self.ended = [], []
        self.link = SupervisorLink(folder, Hello(slot, 1, 1, generation))
        self.task = asyncio.ensure_future(
            self.link.run(
                Orders(
                    lambda _: None,
                    lambda _: None,
                    self.ended.append,
                    lambda cover: self.covers.append(cover.sockets),
                )
            )
        )

    async def leave(self):
        self.task.cancel()
        await asyncio.wait([self.task])


async def until(check):
    async with asyncio.timeout(30):
        while not check():  # noqa: ASYNC110 - several places change what it looks at
            await asyncio.sleep(0.005)


@asynccontextmanager
async def hub_of(folder, workers, sockets):
    hub = Hub(
        "now", workers=workers, sockets=sockets, on_failed=print, on_ejected=print
    )  # fmt: skip
    await hub.open(folder)
    made = []

    async def join(slot, generation="now"):
        before = hub.connected()
        made.append(Worker(folder, slot, generation))
        await until(lambda: hub.connected() == before + 1)
        made[-1].link.serving()
        return made[-1]

    try:
        yield hub, join
    finally:
        for worker in made:
            await worker.leave()
        await hub.close()


async def test_those_that_serve_see_to_the_sockets_of_those_that_do_not(tmp_path):
    async with hub_of(tmp_path, workers=2, sockets=2) as (_, join):
        first = await join(0)
        await until(lambda: first.covers == [(1,)])
        second = await join(1)
        await until(lambda: first.covers == [(1,), ()])
        await first.leave()
        await until(lambda: second.covers == [(0,)])


async def test_sockets_beyond_the_workers_belong_to_them_in_turn(tmp_path):
    async with hub_of(tmp_path, workers=2, sockets=5) as (_, join):
        first = await join(0)
        await until(lambda: first.covers == [(1, 3)])


async def test_workers_of_earlier_starts_cover_nothing_and_leave_to_their_successors(tmp_path):
    async with hub_of(tmp_path, workers=1, sockets=1) as (hub, join):
        old = await join(0, "before")
        await join(0)
        await until(lambda: hub.serving() == 1)
        hub.replace_old(7)
        await until(lambda: old.ended)
        assert (old.ended[0].grace_s, old.ended[0].succeeded) == (7, True)
        assert old.covers == []


async def test_workers_of_several_earlier_starts_have_each_a_name_of_their_own(tmp_path):
    async with hub_of(tmp_path, workers=1, sockets=1) as (hub, join):
        for generation in ("a", "b", "now"):
            await join(0, generation)
        assert {link.label for link in hub._links} == {"0", "0.old", "0.old1"}
