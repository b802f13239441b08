"""Give each request a place at a replica with room; where none has, let it wait in line.

Rule: a place is counted on the board before anything else happens, so that a burst sees itself,
and whoever holds one gives it back, also if it came as its request ended.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from gateway.core.admission import Line, Waiter
from gateway.core.errors import GatewayError
from gateway.core.snapshot import ModelView, ReplicaView

Choose = Callable[[ModelView], ReplicaView | None]
"""Takes a place at a replica with room and returns that replica; None where none has."""
_LOOK_S = 0.005
"""Between two looks for places that other workers gave back."""


@dataclass(frozen=True, slots=True)
class _Place:
    model: ModelView
    choose: Choose
    found: "asyncio.Future[ReplicaView]"


class Admission:
    """The lines of one worker, one for each model."""

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
        self._lines: dict[str, Line] = {}
        self._places: dict[Waiter, _Place] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def place(
        self, model: ModelView, choose: Choose, waiter: Callable[[], Waiter]
    ) -> ReplicaView:
        """Return the replica at which ``choose`` took a place, at once or after a wait.

        Raises:
            Overloaded: there was no room in time, or would not be.
            GatewayError: ``choose`` found that there never will be.
        """
        line = self._lines.get(model.name)
        if line is None or not len(line):
            replica = choose(model)
            if replica is not None:
                return replica
        return await self._wait(self._line_of(model), model, choose, waiter())

    def freed(self, model: str) -> None:
        """Serve those who wait: a place was given back."""
        line = self._lines.get(model)
        while line is not None and (first := line.first) is not None:
            place = self._places[first]
            if place.found.done():  # it ended in this moment, and has yet to go
                line.leave(first)
                continue
            try:
                replica = place.choose(self._newest(model) or place.model)
            except GatewayError as problem:
                line.leave(first)
                place.found.set_exception(problem)
                continue
            if replica is None:
                return
            line.serve(first, self._clock())
            place.found.set_result(replica)

    async def _wait(
        self, line: Line, model: ModelView, choose: Choose, waiter: Waiter
    ) -> ReplicaView:
        at, loop = self._clock(), asyncio.get_running_loop()
        displaced = line.join(waiter, at)
        if displaced is not None and not self._places[displaced].found.done():
            self._places[displaced].found.set_exception(line.full(at))
        place = self._places[waiter] = _Place(model, choose, loop.create_future())
        self._queued(model.name, 1)
        self._look_later()
        try:
            async with asyncio.timeout(waiter.until - at):
                return await place.found
        except TimeoutError:
            self._let_go(place, waiter)
            raise line.waited_long(waiter, self._clock()) from None
        except asyncio.CancelledError:
            self._let_go(place, waiter)
            raise
        finally:
            line.leave(waiter)
            del self._places[waiter]
            self._queued(model.name, -1)

    def _let_go(self, place: _Place, waiter: Waiter) -> None:
        """Give back what was found in the very moment in which the wait ended."""
        if place.found.done() and not place.found.cancelled() and not place.found.exception():
            self._give_back(place.found.result(), waiter.slots)

    def _line_of(self, model: ModelView) -> Line:
        line = self._lines.get(model.name)
        if line is None or line.most != model.limits.queue:
            if line is not None and len(line):
                return line  # the new limit holds once nobody waits
            line = self._lines[model.name] = Line(model.limits.queue, self._rng)
        return line

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        for model in [*self._lines]:
            self.freed(model)
        if self._places:
            self._look_later()
