"""Who waits for a replica with room, in which order, and who is turned away at once.

Rule: whoever cannot be served in time is told so now and not when its time is over: a client
that waits in vain costs as much as one that is served, and comes back. The queue is bounded.
"""

from bisect import insort
from collections import deque
from random import Random

from gateway.core.errors import Overloaded, QueueTimeout

DEFAULT_PRIORITY = 5
MOST_PRIORITY = 9
"""The last to be served; 0 is the first."""
_LOOK_BACK = 32
_FEWEST = 8
"""So many that were served make a pace."""
_SOONEST_S, _LATEST_S = 1.0, 60.0
"""OpenAI's Python client takes a ``retry-after`` over 120 s for "never"."""
_SPREAD = 0.25


class Waiter:
    """A request that waits for room."""

    __slots__ = ("came_at", "picky", "priority", "slots", "until")

    def __init__(
        self, *, priority: int, slots: int, came_at: float, until: float, picky: bool = False
    ) -> None:
        """Wait ``until`` then at most, for so many ``slots`` of one replica.

        One that is ``picky`` can go to some of its model's replicas only: where these are full
        there may be room for those behind it.
        """
        self.priority = priority
        self.slots = slots
        self.came_at = came_at
        self.until = until
        self.picky = picky


class Queue:
    """The requests of one model that wait, in the order in which they are served.

    By priority, and among equals first come, first served.
    """

    def __init__(self, most: int, rng: Random) -> None:
        """Let ``most`` wait; ``rng`` spreads when the others are to come back."""
        self.most = most
        self._rng = rng
        self._waiters: list[Waiter] = []
        self._served: deque[tuple[float, int]] = deque(maxlen=_LOOK_BACK)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiters)

    def first(self, most: int) -> list[Waiter]:
        """Return who is served next, in order, ``most`` of them at most.

        Nobody may be given a place that one before could take once it is large enough: a large
        request would wait for ever.
        """
        return self._waiters[:most]

    def join(self, waiter: Waiter, at: float) -> Waiter | None:
        """Let ``waiter`` wait; return who had to leave for it.

        Raises:
            Overloaded: the queue is full of others as urgent, or too slow for ``waiter``.
        """
        wait_s = self.expected_s(waiter.priority, waiter.slots, at)
        if wait_s is not None and at + wait_s > waiter.until:
            raise self._too_slow(wait_s)
        displaced = None
        if len(self._waiters) >= self.most:
            if not self._waiters or self._waiters[-1].priority <= waiter.priority:
                raise self.full(at)
            displaced = self._waiters.pop()
        insort(self._waiters, waiter, key=lambda each: (each.priority, each.came_at))
        return displaced

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer; nothing if it does not."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            self._see_whether_it_is_empty()

    def serve(self, waiter: Waiter, at: float) -> None:
        """Let ``waiter``, who found room, go."""
        self._waiters.remove(waiter)
        self._served.append((at, waiter.slots))
        self._see_whether_it_is_empty()

    def expected_s(self, priority: int, slots: int, at: float) -> float | None:
        """Return how long a request that joined now would wait.

        None where that is not known: too few were served lately.
        """
        if len(self._served) < _FEWEST:
            return None
        since = self._served[0][0]
        ahead = sum(each.slots for each in self._waiters if each.priority <= priority)
        # That nobody was served for a while counts too: up to now, not to the last.
        passed = sum(count for _, count in self._served) - self._served[0][1]
        return (ahead + slots) * (at - since) / passed

    def full(self, at: float) -> Overloaded:
        """Return what is said to whoever finds no place."""
        wait_s = self.expected_s(MOST_PRIORITY, 1, at) or _SOONEST_S
        return Overloaded(
            "all replicas of this model are busy, and so many requests wait already",
            retry_after_s=self._come_back_s(wait_s),
        )

    def waited_long(self, waiter: Waiter, at: float) -> Overloaded:
        """Return what is said to ``waiter`` when its time is over."""
        return QueueTimeout(
            f"no replica of this model had room within {at - waiter.came_at:.3g} s",
            retry_after_s=self._come_back_s(
                self.expected_s(waiter.priority, waiter.slots, at) or _SOONEST_S
            ),
        )

    def _see_whether_it_is_empty(self) -> None:
        if not self._waiters:  # there is room again: what comes now begins another rush
            self._served.clear()

    def _too_slow(self, wait_s: float) -> Overloaded:
        return QueueTimeout(
            "all replicas of this model are busy, and this request would wait too long",
            retry_after_s=self._come_back_s(wait_s),
        )

    def _come_back_s(self, wait_s: float) -> float:
        spread = 1 + self._rng.uniform(-_SPREAD, _SPREAD)
        return min(max(wait_s * spread, _SOONEST_S * spread), _LATEST_S)


def has_room(in_flight: int, slots: int, limit: int | None) -> bool:
    """Say whether a replica with this many slots taken can take so many more.

    One that is idle takes anything: a request larger than the limit would never be served.
    """
    return limit is None or in_flight == 0 or in_flight + slots <= limit


def priority_of(value: bytes | None) -> int:
    """Return the priority that a client asks for; the default where it is none."""
    if value is not None and len(value) == 1 and value.isdigit():
        return int(value)
    return DEFAULT_PRIORITY
