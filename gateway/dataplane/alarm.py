"""One timer for the waits over a connection, of which each ends long before its limit.

To set a timer for each wait, and to cancel it, costs more than all else about a wait. So this
one is set once and not cancelled: where it goes off too early, it goes on to the limit of then.
"""

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Rings when a wait has lasted too long; for one wait at a time."""

    __slots__ = ("_goes_off_at", "_limit_at", "_loop", "_ring", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for nothing yet."""
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._goes_off_at = math.inf
        self._limit_at = 0.0
        self._ring: Callable[[], None] | None = None

    def set(self, limit_at: float, ring: Callable[[], None]) -> None:
        """Call ``ring`` at ``limit_at`` (loop time), unless set anew or cleared before."""
        self._limit_at = limit_at
        self._ring = ring
        if limit_at < self._goes_off_at:
            self._arm(limit_at)

    def clear(self) -> None:
        """Forget the wait."""
        self._ring = None

    def stop(self) -> None:
        """Be done for good, and leave nothing with the loop."""
        self._ring = None
        self._goes_off_at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._goes_off_at = at
        self._timer = self._loop.call_at(at, self._go_off)

    def _go_off(self) -> None:
        self._timer = None
        self._goes_off_at = math.inf
        ring = self._ring
        if ring is None:
            return
        if self._loop.time() >= self._limit_at:
            self._ring = None
            ring()
        else:
            self._arm(self._limit_at)
