"""The two clocks of a process, handed in by its composition root."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both in seconds."""

    monotonic: Callable[[], float]
    """The clock of all request facts."""
    wall: Callable[[], float]
    """Unix time."""

    def unix_offset_s(self) -> float:
        """Return what to add to an instant of `monotonic` to get Unix time."""
        return self.wall() - self.monotonic()
