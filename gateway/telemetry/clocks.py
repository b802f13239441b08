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

    def steady(self) -> Callable[[], float]:
        """Return Unix time as of now that no setting of the clock moves.

        For deadlines that are kept as Unix time since they outlive a restart: a clock that is
        put forward must not end a drain or a load, one that is put back not an ejection late.
        """
        monotonic, offset_s = self.monotonic, self.unix_offset_s()
        return lambda: monotonic() + offset_s
