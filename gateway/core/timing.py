"""Time one streamed answer: when its first and last content came, and the gaps between.

All times are seconds on one monotonic clock, read by the caller when bytes *arrive*: this
module never reads a clock, so tests and replays give exact numbers. A gap is measured between
neighbouring content events of one choice; one event can bring several tokens (speculative
decoding, ``stream_interval``), so a gap is per *event*, TPOT per *token*
(`gateway.core.outcome`).
"""


class StreamMeter:
    """Collects the arrival times of one answer's content events."""

    __slots__ = ("_last_by_choice", "events", "first_at", "gaps_s", "last_at")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.gaps_s: list[float] = []
        self.events = 0
        self._last_by_choice: dict[int, float] = {}

    def content(self, choice: int, at: float) -> None:
        """Note content of ``choice`` that arrived ``at``."""
        self.events += 1
        if self.first_at is None:
            self.first_at = at
        self.last_at = at
        last = self._last_by_choice
        before = last.get(choice)
        if before is not None:
            self.gaps_s.append(at - before)
        last[choice] = at
