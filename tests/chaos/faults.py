"""The faults of a chaos run as one table, and which answer meets which.

Rule: what an answer meets follows from the seed, the call's number and how often that call has
come to any replica, and from nothing else: a seed replays its run, whichever replica is picked.

No gateway can see a changed letter inside a text, for nothing on the wire sums the text up. So
what is damaged here damages the form: UTF-8, JSON or HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Protocol


class By(StrEnum):
    """Who carries a fault out."""

    PROXY = "proxy"
    SIMULATOR = "simulator"
    WINDOW = "window"
    """A proxy, against its whole replica, for a time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to fail."""

    name: str
    by: By
    effect: str
    breaks: bool = True
    """Whether the answer may be lost by it; if not, it must come all the same."""
    silent: bool = False
    """Only a time limit finds it."""
    weight: float = 1.0
    """How often it is drawn, against others; 0: only on purpose."""


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("latency", By.PROXY, "the answer begins late", breaks=False),
        Kind("throttle", By.PROXY, "the answer comes in drips", breaks=False),
        Kind("slices", By.PROXY, "the answer comes byte by byte", breaks=False),
        Kind("reset", By.PROXY, "RST at a random byte", weight=3),
        Kind("half_close", By.PROXY, "FIN at a random byte", weight=3),
        Kind("clean_end", By.PROXY, "the body ends well formed at a random byte", weight=3),
        Kind("hole", By.PROXY, "nothing more from a random byte on", silent=True, weight=0.3),
        Kind("flip", By.PROXY, "the top bit of a random byte of the body is turned", weight=2),
        Kind("framing", By.PROXY, "the size of an HTTP chunk is no number"),
        Kind("garbage", By.PROXY, "an event that is no JSON stands between two others"),
        Kind("excess", By.PROXY, "a second answer follows, unasked", breaks=False),
        Kind("null", By.PROXY, "the answer is 200 `null`"),
        Kind("sim_hang", By.SIMULATOR, "hang", silent=True, weight=0.3),
        Kind("sim_eof", By.SIMULATOR, "eof"),
        Kind("sim_500", By.SIMULATOR, "http_error:code=500"),
        Kind("sim_502", By.SIMULATOR, "http_error:code=502", weight=0.5),
        Kind("sim_503", By.SIMULATOR, "http_error:code=503"),
        Kind("sim_504", By.SIMULATOR, "http_error:code=504", weight=0.5),
        Kind("sim_429", By.SIMULATOR, "http_error:code=429"),
        Kind("sim_internal", By.SIMULATOR, "internal_error"),
        Kind("sim_stall", By.SIMULATOR, "stall", silent=True, weight=0.3),
        Kind("sim_cut", By.SIMULATOR, "cut"),
        Kind("sim_engine_error", By.SIMULATOR, "engine_error"),
        Kind("sim_end_early", By.SIMULATOR, "end_early"),
        Kind("sim_half_event", By.SIMULATOR, "half_event"),
        Kind("sim_garbage", By.SIMULATOR, "garbage"),
        Kind("sim_no_done", By.SIMULATOR, "no_done"),
        Kind("sim_double_done", By.SIMULATOR, "double_done", breaks=False, weight=0.5),
        Kind("sim_empty_chunks", By.SIMULATOR, "empty_chunks", breaks=False, weight=0.5),
        Kind("sim_slow_chunks", By.SIMULATOR, "slow_chunks:s=0.01", breaks=False, weight=0.5),
        Kind("refused", By.WINDOW, "connections are refused"),
        Kind("down", By.WINDOW, "all connections are reset, new ones refused"),
        Kind("dark", By.WINDOW, "all is accepted, nothing answered", silent=True),
    )
}
"""What the simulator does is a fault of `backends.simulator.faults`. Those that end its process
are left out (``down`` looks the same from outside), and so are those that falsify a text."""

BEFORE_HEAD = ("sim_eof", "sim_500", "sim_502", "sim_503", "sim_504", "sim_429", "sim_internal")
"""They show no content, ever."""
WINDOWS = tuple(kind.name for kind in KINDS.values() if kind.by is By.WINDOW)
_MID_STREAM = ("stall", "cut", "engine_error", "end_early", "half_event", "garbage")
_HOPELESS_EVERY = 40
_SECOND_FAULT_SHARE = 0.15
_MOST_FAULTS = 2
"""That one call meets, one in `_HOPELESS_EVERY` apart: the others have a sound replica left."""


@dataclass(frozen=True, slots=True)
class Injection:
    """What one answer meets."""

    kind: str
    place: float
    """Where in the answer, 0 to 1."""
    seed: int
    """Of what else is random about it."""

    def told(self, tokens: int) -> str | None:
        """Return what the simulator is told, for an answer of ``tokens``; None if nothing."""
        kind = KINDS[self.kind]
        if kind.by is not By.SIMULATOR:
            return None
        if kind.effect in _MID_STREAM:
            return f"{kind.effect}:after_tokens={int(self.place * tokens)}"
        return kind.effect


class Strikes(Protocol):
    """Says what a call meets."""

    def __call__(self, number: int, arrival: int, *, stream: bool) -> Injection | None:
        """Return what call ``number`` meets that has come ``arrival`` times before."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """What one replica meets as a whole."""

    kind: str
    replica: int
    hold_s: float


class Schedule:
    """Draws the faults of one run."""

    def __init__(
        self, seed: int, *, kinds: Sequence[str] = (), calm_share: float = 0.08
    ) -> None:
        """Draw from ``kinds``, all by default; ``calm_share`` of the calls meet none."""
        self._seed = seed
        self._calm_share = calm_share
        self.chosen = bool(kinds)
        """Not all kinds may happen."""
        drawn = [KINDS[name] for name in kinds] or list(KINDS.values())
        self._kinds = [kind for kind in drawn if kind.by is not By.WINDOW and kind.weight]
        self._loud = [kind for kind in self._kinds if not kind.silent]

    def strike(self, number: int, arrival: int, *, stream: bool) -> Injection | None:
        """See `Strikes`."""
        rng = Random(f"{self._seed} call {number} arrival {arrival}")
        if self.hopeless(number):
            return self._drawn(rng, [KINDS[name] for name in BEFORE_HEAD])
        share = _SECOND_FAULT_SHARE if arrival else 1 - self._calm_share
        if arrival >= _MOST_FAULTS or rng.random() >= share:
            return None
        # An answer that comes whole is silent until then, and may be for minutes.
        return self._drawn(rng, self._kinds if stream else self._loud)

    def hopeless(self, number: int) -> bool:
        """Say whether every replica fails this call before it shows anything."""
        return number % _HOPELESS_EVERY == _HOPELESS_EVERY - 1

    def window(self, index: int, replicas: int) -> Window:
        """Return the window number ``index``."""
        rng = Random(f"{self._seed} window {index}")
        return Window(rng.choice(WINDOWS), rng.randrange(replicas), rng.uniform(0.3, 1.0))

    @staticmethod
    def _drawn(rng: Random, kinds: Sequence[Kind]) -> Injection:
        (kind,) = rng.choices(kinds, [kind.weight for kind in kinds])
        return Injection(kind.name, rng.random(), rng.getrandbits(32))
