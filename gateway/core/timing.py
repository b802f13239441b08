"""Time one streamed answer: when its first and last content came, and the gaps between.

All times are seconds on one monotonic clock, read by the caller when bytes *arrive*: this
module never reads a clock, so tests and replays give exact numbers. A gap is measured between
neighbouring content events of one choice; one event can bring several tokens (speculative
decoding, ``stream_interval``), so a gap is per *event*, TPOT per *token*
(`gateway.core.outcome`).
"""


class StreamMeter:
    """Collects the arrival times of one answer's content events."""

    __slots__ = ("_last_by_choice", "first_at", "gaps_s", "last_at")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.first_at: float | None = None
        self.last_at = 0.0
        """0 until content came."""
        self.gaps_s: list[float] = []
        self._last_by_choice: dict[int, float] = {}
        """Kept up only where several choices are seen."""

    @property
    def events(self) -> int:
        """Content events so far: each but the first of its choice ends a gap."""
        return len(self.gaps_s) + len(self._last_by_choice)

    def content(self, choice: int, at: float) -> None:
        """Note content of ``choice`` that arrived ``at``."""
        last = self._last_by_choice
        if self.first_at is None:
            self.first_at = at
        elif choice in last:
            self.gaps_s.append(at - (self.last_at if len(last) == 1 else last[choice]))
        elif len(last) == 1:
            last[next(iter(last))] = self.last_at
        last[choice] = self.last_at = at

    def more(self, at: float) -> None:
        """Note more content of the only choice that was seen so far."""
        self.gaps_s.append(at - self.last_at)
        self.last_at = at
