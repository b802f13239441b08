"""What was done to whom: the other half of every judgement.

All instants are seconds of `time.monotonic`, which all processes of a machine share.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import KINDS
from tests.chaos.wire import shown


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that an answer really met."""

    number: int
    """The call's."""
    replica: str
    kind: str
    at_byte: int
    """How many bytes of the answer, head included, were sent in all."""
    content: int
    """Content events among them, before the first fault."""


@dataclass(slots=True)
class Closed:
    """A window, and how long it was felt."""

    kind: str
    replica: str
    opened_at: float
    closed_at: float = float("inf")


@dataclass
class Ledger:
    """Kept by the proxies of one run."""

    clock: Callable[[], float]
    arrivals: Counter[int] = field(default_factory=Counter)
    """How often each call came to any replica."""
    strikes: list[Strike] = field(default_factory=list)
    windows: list[Closed] = field(default_factory=list)

    def arrive(self, number: int) -> int:
        """Count a call; return how often it had come before."""
        self.arrivals[number] += 1
        return self.arrivals[number] - 1

    def strike(self, number: int, replica: str, kind: str, sent: bytes) -> None:
        """Note that an answer met ``kind`` and that ``sent`` is all that went out of it.

        A fault that breaks answers and left this one whole did not strike: the simulator's
        wait for a token that a shorter answer does not have.
        """
        seen = shown(sent)
        if KINDS[kind].breaks and seen.whole and kind.startswith("sim_"):
            return
        self.strikes.append(Strike(number, replica, kind, len(sent), seen.content))

    def open_window(self, kind: str, replica: str) -> Closed:
        """Note that a window begins; the caller sets its end."""
        window = Closed(kind, replica, self.clock())
        self.windows.append(window)
        return window

    def by_call(self) -> dict[int, list[Strike]]:
        """Return what each call met, in the order of its ends."""
        found: dict[int, list[Strike]] = {}
        for strike in self.strikes:
            found.setdefault(strike.number, []).append(strike)
        return found

    def windows_between(self, since: float, until: float) -> list[Closed]:
        """Return the windows that were open at some time between the two."""
        return [w for w in self.windows if w.opened_at <= until and w.closed_at >= since]


def sound_replica(
    replicas: Sequence[str], struck: Sequence[Strike], windows: Sequence[Closed]
) -> bool:
    """Say whether a replica is left that neither failed a call nor was in a window."""
    failed = {strike.replica for strike in struck if KINDS[strike.kind].breaks}
    return bool(set(replicas) - failed - {window.replica for window in windows})
