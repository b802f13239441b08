"""How much later the first text comes where a replica fails before it: one call at a time.

A figure depends on how busy the machine is: it is kept, and no test fails for it.
"""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from statistics import median, quantiles

from tests.chaos import raw
from tests.chaos.calls import RAW, Call
from tests.chaos.checker import Ended, Seen
from tests.chaos.faults import Injection
from tests.chaos.running import LIMIT_S
from tests.chaos.stand import Stand, standing

NONE, REFUSED = "none", "refused"
FAULTS = {NONE: NONE, REFUSED: REFUSED, "eof": "sim_eof", "5xx": "sim_503"}
_TOKENS = 8
_MOST_TRIES = 8
_REPLICAS = 3
"""One may be out because probes found it refusing; then there must be another two."""


class Chosen:
    """Strikes each call that comes for the first time with the kind that is set."""

    def __init__(self) -> None:
        self.kind = NONE

    def strike(self, number: int, arrival: int, *, stream: bool) -> Injection | None:  # noqa: ARG002 - the protocol's
        """See `Strikes`."""
        if arrival or self.kind in {NONE, REFUSED}:
            return None
        return Injection(self.kind, 0.0, number)


async def added_latency(folder: Path, samples: int) -> dict[str, dict[str, float]]:
    """Return, by fault, milliseconds to the first text and what the fault added to them."""
    chosen = Chosen()
    taken: dict[str, list[float]] = {name: [] for name in FAULTS}
    numbers = count()
    async with standing(folder, chosen.strike, replicas=_REPLICAS) as stand:
        for _ in range(samples):
            for name, kind in FAULTS.items():
                chosen.kind = kind
                taken[name].append(await _first_text_s(stand, kind, numbers))
    return summed_up(taken)


def summed_up(taken: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return the figures of samples in seconds; what is added is over the median of none."""
    usual = median(taken[NONE])
    return {
        name: {
            "samples": len(samples),
            "first_text_p50_ms": _ms(median(samples)),
            "first_text_p99_ms": _ms(_p99(samples)),
            "added_p50_ms": _ms(median(samples) - usual),
            "added_p99_ms": _ms(_p99(samples) - usual),
        }
        for name, samples in taken.items()
    }


async def _first_text_s(stand: Stand, kind: str, numbers: "count[int]") -> float:
    if kind != REFUSED:
        return _of(await _ask(stand, numbers))
    while True:
        stand.proxies[0].refuse()
        try:
            for _ in range(_MOST_TRIES):
                seen = await _ask(stand, numbers)
                if seen.attempts == 2:
                    return _of(seen)
        finally:
            await stand.proxies[0].open()
        await stand.ready()  # a probe had found it refusing, so that nobody asked it


async def _ask(stand: Stand, numbers: "count[int]") -> Seen:
    call = Call(next(numbers), RAW, chat=True, stream=True, tokens=_TOKENS)
    return await raw.ask(stand.url, call, limit_s=LIMIT_S)


def _of(seen: Seen) -> float:
    assert seen.ended is Ended.WELL, seen
    assert seen.first_text_s is not None
    return seen.first_text_s


def _p99(samples: list[float]) -> float:
    return quantiles(samples, n=100)[98]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
