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
            newest=lambda _: self.model,
            give_back=self._give_back,
            queued=self._queued,
        )

    def _queued(self, _, change):
        self.queued += change

    def _give_back(self, replica, slots):
        assert replica is REPLICA
        self.free += slots

    def _choose(self, model, closed):
        assert model is self.model
        if self.free is None:
            raise NoReplica("gone")
        if not self.free or REPLICA.id in closed:
            closed.add(REPLICA.id)
            return None
        self.free -= 1
        return REPLICA

    def _wait(self, priority):
        return Waiter(priority=priority, slots=1, came_at=0.0, until=3600.0)

    async def place(self, priority=5):
        replica = self.admission.at_once(self.model, self._choose)
        if replica is not None:
            return replica
        return await self.admission.wait(self.model, self._choose, self._wait(priority))

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


async def test_the_length_of_the_queue_changes_with_the_settings_once_nobody_waits():
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


class Two:
    """Places at two replicas, and those of whom some can go to one of them only."""

    def __init__(self, queue=10):
        self.free = {"a": 0, "b": 0}
        self.model = ModelView("m", 1, limits=Limits(queue=queue))
        self.admission = Admission(
            rng=Random(1),
            clock=lambda: 0.0,
            newest=lambda _: None,  # the model is gone: whoever waits goes by what it knew
            give_back=lambda *_: None,
            queued=lambda *_: None,
        )

    async def place(self, among, slots=1):
        def choose(_, closed):
            for name in among:
                if name not in closed and self.free[name] >= slots:
                    self.free[name] -= slots
                    return name
            closed.update(among)
            return None

        found = self.admission.at_once(self.model, choose)
        if found is not None:
            return found
        waiter = Waiter(
            priority=5, slots=slots, came_at=0.0, until=3600.0, picky=len(among) < 2
        )
        return await self.admission.wait(self.model, choose, waiter)

    async def waiting(self, among, slots=1):
        task = asyncio.get_running_loop().create_task(self.place(among, slots))
        await asyncio.sleep(0)
        return task

    def give(self, name, places=1):
        self.free[name] += places
        self.admission.freed("m")


async def test_one_that_waits_for_one_replica_holds_up_nobody_who_can_go_to_another():
    places = Two(queue=1)
    kept = await places.waiting("a")
    places.free["b"] = 1
    assert await places.place("ab") == "b"  # though the queue is full
    places.give("a")
    assert await kept == "a"


async def test_those_behind_it_find_the_other_replica_too():
    places = Two()
    kept, other = await places.waiting("a"), await places.waiting("ab")
    places.give("b")
    assert await other == "b"
    assert not kept.done()
    places.give("a")
    assert await kept == "a"


async def test_nobody_takes_the_replica_for_which_another_waits():
    places = Two()
    kept = await places.waiting("a", slots=2)
    places.free["a"] = 1
    comes = await places.waiting("ab")
    assert not comes.done()
    places.give("a")
    assert await kept == "a"
    places.give("a")
    assert await comes == "a"


async def test_a_large_one_that_can_go_anywhere_is_not_passed():
    places = Two()
    large, small = await places.waiting("ab", slots=2), await places.waiting("a")
    places.give("a")
    places.give("b")
    assert not small.done()
    places.give("b")
    assert await large == "b"
    places.admission.freed("m")
    assert await small == "a"
