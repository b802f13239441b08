import asyncio

import pytest

from gateway.fleet.journal import Journal
from gateway.state.memory import MemoryStore
from gateway.state.store import ModelDesired, StoreUnavailable

pytestmark = pytest.mark.anyio


class SlowStore(MemoryStore):
    def __init__(self):
        super().__init__()
        self.gate = asyncio.Event()
        self.commits = []
        self.broken = False

    async def commit(self, change):
        await self.gate.wait()
        if self.broken:
            raise StoreUnavailable("full")
        self.commits.append(change)
        await super().commit(change)


async def test_a_save_returns_only_when_what_was_noted_before_it_is_written():
    store = SlowStore()
    journal = Journal(store)
    journal.model("m", ModelDesired("m", 1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(journal.save())
        await asyncio.sleep(0)
        second = tasks.create_task(journal.save())  # the first holds all there is to write
        await asyncio.sleep(0.01)
        assert not second.done()
        store.gate.set()
    assert len(store.commits) == 1


async def test_what_could_not_be_written_stays_and_newer_notes_win():
    store = SlowStore()
    store.broken = True
    store.gate.set()
    journal = Journal(store)
    journal.model("m", ModelDesired("m", 1))
    journal.model("n", ModelDesired("n", 1))
    with pytest.raises(StoreUnavailable):
        await journal.save()
    journal.model("m", None)
    store.broken = False
    await journal.save()
    (change,) = store.commits
    assert (change.models, change.undone) == ((ModelDesired("n", 1),), ("m",))


async def test_a_save_that_is_cancelled_loses_nothing():
    store = SlowStore()
    journal = Journal(store)
    journal.model("m", ModelDesired("m", 1))
    async with asyncio.TaskGroup() as tasks:
        saving = tasks.create_task(journal.save())
        await asyncio.sleep(0.01)
        saving.cancel()
    store.gate.set()
    await journal.save()
    assert await store.models() == [ModelDesired("m", 1)]
