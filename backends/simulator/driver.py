"""Runs an engine in real time: one wake-up per iteration, outputs handed to each request's sink."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backends.simulator.engine import Engine
from backends.simulator.iteration import EngineRequest, Output
from backends.simulator.stats import IterationStats, RequestRecord


class Sink(Protocol):
    """Takes what a request yields; called on the event loop, must neither block nor await."""

    def deliver(self, output: Output) -> None:
        """Take new tokens of one sequence; may call `Driver.abort` and `Driver.stop_sequence`."""
        ...

    def end(self, record: RequestRecord) -> None:
        """Take the facts of the request, after its last output; called exactly once, on abort too."""
        ...


@dataclass(slots=True)
class Lateness:
    """How well the driver keeps up with the wall clock."""

    late_steps: int = 0
    """Iterations that ended later than max(5 ms, 25 % of their time) after they should have."""
    worst_s: float = 0.0
    dropped_s: float = 0.0
    """Time given up after a second of lateness: the simulated replica is slower than its profile by this."""


class Driver:
    """Owns the engine's time; `run` is its only task. Instants in records are those of ``clock``."""

    lateness: Lateness

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float],
        time_scale: float = 1.0,
        on_step: Callable[[IterationStats], None] | None = None,
    ) -> None:
        """Multiply every duration of the engine by ``time_scale``: 0.1 runs ten times as fast."""
        ...

    def submit(self, request: EngineRequest, sink: Sink) -> None:
        """Queue ``request`` now.

        Raises:
            RequestNeverFits, ValueError: as `Engine.submit`; ``sink`` is never called.
        """
        ...

    def abort(self, request_id: int) -> None:
        """End a request; its sink gets no more outputs, only the record. Unknown ids are no error."""
        ...

    def stop_sequence(self, request_id: int, index: int) -> None:
        """End one sequence as of its last output; the sink gets the record if it was the last one."""
        ...

    async def run(self) -> None:
        """Step the engine until cancelled."""
        ...
