import asyncio
from random import Random

import pytest

from backends.replica import ReplicaId
from gateway.core.admission import Waiter
from gateway.core.errors import NoReplica, Overloaded
from gateway.core.snapshot import Limits, ModelView, ReplicaView
from gateway.dataplane.admission import Admission

pytestmark = pytest.mark.anyio

REPLICA = ReplicaView(ReplicaId("r"), "h", 1, "s", "1.2", 0)


class Places:
    """So many places at one replica, and those who want them."""

    def __init__(self, free=0, *, queue=10):
        self.free = free
        self.queued = 0
        self.model = ModelView("m", 1, limits=Limits(queue=queue))
        self.admission = Admission(
            rng=Random(1),
            clock=lambda: 0.0,
            newest=lambda _: None,
            give_back=self._give_back,
            queued=self._queued,
        )

    def _queued(self, _, change):
        self.queued += change

    def _give_back(self, replica, slots):
        assert replica is REPLICA
        self.free += slots

    def _choose(self, model):
        assert model is self.model
        if self.free is None:
            raise NoReplica("gone")
        if not self.free:
            return None
        self.free -= 1
        return REPLICA

    def _wait(self, priority):
        return Waiter(priority=priority, slots=1, came_at=0.0, until=3600.0)

    async def place(self, priority=5):
        return await self.admission.place(
            self.model, self._choose, lambda: self._wait(priority)
        )

    async def waiting(self, priority=5):
        """Return the task of one more who waits."""
        task = asyncio.get_running_loop().create_task(self.place(priority))
        await asyncio.sleep(0)
        return task

    def give(self):
        self.free += 1
        self.admission.freed("m")


async def test_where_there_is_room_nobody_waits():
    places = Places(1)
    assert await places.place() is REPLICA
    assert (places.free, places.queued) == (0, 0)


async def test_one_that_left_in_the_moment_in_which_a_place_came_free_does_not_get_it():
    places = Places()
    leaves, stays = await places.waiting(), await places.waiting()
    leaves.cancel()
    places.give()  # before `leaves` has run again
    assert await stays is REPLICA
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert (places.free, places.queued) == (0, 0)


async def test_one_that_got_a_place_in_the_moment_in_which_it_left_gives_it_back():
    places = Places()
    leaves, stays = await places.waiting(), await places.waiting()
    places.give()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert places.free == 1
    places.admission.freed("m")
    assert await stays is REPLICA
    assert (places.free, places.queued) == (0, 0)


async def test_nobody_passes_those_who_wait():
    places = Places()
    waits = await places.waiting()
    places.free = 1  # given back by another worker, not yet looked for
    comes = await places.waiting()
    assert await waits is REPLICA
    assert not comes.done()
    places.give()
    assert await comes is REPLICA


async def test_one_that_must_make_room_for_the_urgent_is_told_so():
    places = Places(queue=1)
    usual = await places.waiting()
    urgent = await places.waiting(priority=0)
    with pytest.raises(Overloaded):
        await usual
    places.give()
    assert await urgent is REPLICA
    assert places.queued == 0


async def test_one_that_left_already_makes_room_without_a_word():
    places = Places(queue=1)
    leaves = await places.waiting()
    leaves.cancel()
    urgent = asyncio.get_running_loop().create_task(places.place(priority=0))
    with pytest.raises(asyncio.CancelledError):
        await leaves
    places.give()
    assert await urgent is REPLICA


async def test_what_ends_all_hope_is_told_to_all():
    places = Places()
    both = [await places.waiting(), await places.waiting()]
    places.free = None
    places.admission.freed("m")
    for each in both:
        with pytest.raises(NoReplica):
            await each
    assert places.queued == 0


async def test_the_length_of_the_line_changes_with_the_settings_once_nobody_waits():
    places = Places(queue=1)
    waits = await places.waiting()
    places.model = ModelView("m", 1, limits=Limits(queue=5))
    with pytest.raises(Overloaded):
        await places.place()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    several = [await places.waiting() for _ in range(5)]
    assert places.queued == 5
    for each in several:
        places.give()
        assert await each is REPLICA
