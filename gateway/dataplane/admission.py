"""Give each request a place at a replica with room; where none has, let it wait in a queue.

Rule: a place is counted on the board before anything else happens, so that a burst sees itself,
and whoever holds one gives it back, also if it came as its request ended.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from backends.replica import ReplicaId
from gateway.core.admission import Queue, Waiter
from gateway.core.errors import GatewayError
from gateway.core.snapshot import ModelView, ReplicaView

Choose = Callable[[ModelView, set[ReplicaId]], ReplicaView | None]
"""Takes a place at a replica with room and returns that replica, never one of the set.

None where none has: those that it could have been are added to the set, since whoever comes
later may not have them before.
"""
_LOOK_S = 0.005
"""Between two looks for places that other workers gave back."""
_FAR = 64
"""So many of those who wait are looked at, where each can go to some replicas only."""


@dataclass(frozen=True, slots=True)
class _Place:
    model: ModelView
    choose: Choose
    found: "asyncio.Future[ReplicaView]"


class Admission:
    """The queues of one worker, one for each model."""

    def __init__(
        self,
        *,
        rng: Random,
        clock: Callable[[], float],
        newest: Callable[[str], ModelView | None],
        give_back: Callable[[ReplicaView, int], None],
        queued: Callable[[str, int], None],
    ) -> None:
        """Begin with nobody waiting.

        Args:
            rng: spreads when those who are turned away come back.
            clock: of `Waiter`'s instants.
            newest: the model of that name by the snapshot of the moment: whoever waited goes
                by that, not by one as old as its request.
            give_back: gives so many places at a replica back.
            queued: told of each change of the number that wait for a model.
        """
        self._rng = rng
        self._clock = clock
        self._newest = newest
        self._give_back = give_back
        self._queued = queued
        self._queues: dict[str, Queue] = {}
        self._places: dict[Waiter, _Place] = {}
        self._timer: asyncio.TimerHandle | None = None

    def at_once(self, model: ModelView, choose: Choose) -> ReplicaView | None:
        """Return the replica at which ``choose`` took a place that nobody waits for, or None.

        Raises:
            GatewayError: ``choose`` found that there never will be one.
        """
        return choose(model, self.freed(model.name))

    async def wait(self, model: ModelView, choose: Choose, waiter: Waiter) -> ReplicaView:
        """Return the replica at which ``choose`` took a place, after a wait.

        Raises:
            Overloaded: there was no room in time, or would not be.
            GatewayError: ``choose`` found that there never will be.
        """
        queue, at = self._queue_of(model), self._clock()
        displaced = queue.join(waiter, at)
        if displaced is not None and not self._places[displaced].found.done():
            self._places[displaced].found.set_exception(queue.full(at))
        found: asyncio.Future[ReplicaView] = asyncio.get_running_loop().create_future()
        self._places[waiter] = _Place(model, choose, found)
        self._queued(model.name, 1)
        self._look_later()
        try:
            async with asyncio.timeout(waiter.until - at):
                return await found
        except TimeoutError:
            self._let_go(found, waiter)
            raise queue.waited_long(waiter, self._clock()) from None
        except asyncio.CancelledError:
            self._let_go(found, waiter)
            raise
        finally:
            queue.leave(waiter)
            del self._places[waiter]
            self._queued(model.name, -1)
            del found  # an exception set on it has this frame in its traceback: a cycle

    def freed(self, model: str) -> set[ReplicaId]:
        """Serve those who wait and now find a place.

        Return the replicas that the others wait for: nobody may be put there before them.
        """
        closed: set[ReplicaId] = set()
        queue = self._queues.get(model)
        if queue is None or not len(queue):
            return closed
        for waiter in queue.first(_FAR):
            if not self._served(queue, waiter, closed) and not waiter.picky:
                break
        return closed

    def _served(self, queue: Queue, waiter: Waiter, closed: set[ReplicaId]) -> bool:
        """Serve ``waiter`` if there is a place for it; say whether it waits no longer."""
        place = self._places[waiter]
        if place.found.done():  # it ended in this moment, and has yet to go
            queue.leave(waiter)
            return True
        try:
            replica = place.choose(self._newest(place.model.name) or place.model, closed)
        except GatewayError as problem:
            queue.leave(waiter)
            place.found.set_exception(problem.with_traceback(None))
            return True
        if replica is None:
            return False
        queue.serve(waiter, self._clock())
        place.found.set_result(replica)
        return True

    def _let_go(self, found: "asyncio.Future[ReplicaView]", waiter: Waiter) -> None:
        """Give back what was found in the very moment in which the wait ended."""
        if found.done() and not found.cancelled() and not found.exception():
            self._give_back(found.result(), waiter.slots)

    def _queue_of(self, model: ModelView) -> Queue:
        queue = self._queues.get(model.name)
        if queue is None or queue.most != model.limits.queue:
            if queue is not None and len(queue):
                return queue  # the new limit holds once nobody waits
            queue = self._queues[model.name] = Queue(model.limits.queue, self._rng)
        return queue

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        for model in [*self._queues]:
            self.freed(model)
        if self._places:
            self._look_later()
