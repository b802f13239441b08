"""What is measured, as two tables: the loads, and the figures that have to be good.

A new scenario is one more line here; what it costs in time is its seconds, its ramp and one
stream's length, for nginx and for the gateway, on each path, in each round.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODEL = "m"
PATHS: Mapping[str, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load: a closed loop of clients that keep their connections."""

    what: str
    clients: int
    seconds: float
    tokens: int = 64
    itl_us: int = 0
    """Time between a stream's tokens; 0: as fast as they are taken."""
    ramp_ms: int = 0
    """The clients start spread over one stream's length, so that they stay spread."""
    streamed: bool = True
    prompt_bytes: int = 0
    together: bool = False
    """All streams' tokens leave the replica at the same instant, as after an engine's step."""
    asks_usage: bool = True

    def options(self) -> list[str]:
        """Return the options of the load generator."""
        words: list[str] = []
        for name, value in (
            ("c", self.clients),
            ("d", self.seconds),
            ("tokens", self.tokens),
            ("itl-us", self.itl_us),
            ("ramp-ms", self.ramp_ms),
            ("prompt-bytes", self.prompt_bytes),
        ):
            words += [f"-{name}", str(value)]
        flags = {
            "-nostream": not self.streamed,
            "-burst": self.together,
            "-no-usage": not self.asks_usage,
        }
        return words + [flag for flag, given in flags.items() if given]


_STREAMS = "streams of 64 tokens, one each"
SCENARIOS: Mapping[str, Scenario] = {
    "a_json": Scenario("32 clients, short answers in one piece", 32, 2, 16, streamed=False),
    "e_32k": Scenario(
        "32 clients, prompts of 32 KiB, answers in one piece",
        32,
        2,
        16,
        streamed=False,
        prompt_bytes=32_768,
    ),
    "p1": Scenario("1 stream of 16 tokens, one each 10 ms", 1, 3, 16, itl_us=10_000),
    "p32": Scenario(f"32 {_STREAMS} 10 ms", 32, 2, itl_us=10_000, ramp_ms=640),
    "c_p256": Scenario(f"256 {_STREAMS} 10 ms", 256, 3, itl_us=10_000, ramp_ms=640),
    "c_p256_unasked": Scenario(
        "the same, and no client asks for usage: the gateway asks, counts and withholds it",
        256,
        3,
        itl_us=10_000,
        ramp_ms=640,
        asks_usage=False,
    ),
    "d_p1024": Scenario(f"1,024 {_STREAMS} 50 ms", 1024, 4, itl_us=50_000, ramp_ms=3200),
    "burst256": Scenario(
        f"256 {_STREAMS} 50 ms, those of all streams at the same instant",
        256,
        3,
        itl_us=50_000,
        ramp_ms=3200,
        together=True,
    ),
    "b_blast": Scenario("32 streams of 128 tokens, as fast as they are taken", 32, 2, 128),
    "c_p256slow": Scenario(
        "256 streams of 32 tokens, one each 100 ms",
        256,
        3.2,
        32,
        itl_us=100_000,
        ramp_ms=3200,
    ),
}


def load_command(program: Path, path: str, port: int, scenario: Scenario) -> list[str]:
    """Return the command that puts ``scenario`` on ``port``; ``path`` is one of `PATHS`."""
    place = ["-port", str(port), "-path", PATHS[path], "-model", MODEL]
    return [str(program), *place, *scenario.options()]


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure of a scenario, and how good it has to be."""

    scenario: str
    figure: str
    """Its name in `tests.bench.measuring.Measured`."""
    unit: str
    most: float | None = None
    """The most that the gateway may have, in nginx's figures; None: shown only."""
    absolute: bool = False
    """``most`` is in ``unit``, whatever nginx has."""


BARS: tuple[Bar, ...] = (
    Bar("a_json", "us_request", "us CPU/request", 8),
    Bar("e_32k", "us_request", "us CPU/request", 5),
    Bar("p1", "added_ttft_p50_us", "us added to TTFT, p50", 3),
    Bar("p32", "us_chunk", "us CPU/token", 1.7),
    Bar("c_p256", "us_chunk", "us CPU/token", 1.4),
    Bar("c_p256_unasked", "us_chunk", "us CPU/token"),
    Bar("d_p1024", "us_chunk", "us CPU/token", 1.5),
    Bar("d_p1024", "rss_mb", "MB held by the worker", 120, absolute=True),
    Bar("burst256", "added_chunk_p99_us", "us added to a token, p99", 2),
    Bar("b_blast", "us_chunk", "us CPU/token"),
    Bar("c_p256slow", "us_chunk", "us CPU/token"),
)

USUAL = tuple(name for name in SCENARIOS if name not in {"b_blast", "c_p256slow"})
"""What `make bench` runs unless told otherwise."""
