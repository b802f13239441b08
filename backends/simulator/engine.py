"""In-flight batching as a pure model: no clock, no I/O, no async; the same calls give the same results.

Each iteration every running sequence decodes, and what is left of ``max_num_tokens`` goes to prefill
chunks in order of arrival. A request enters, first come first served, when slots and KV blocks for its
prompt and all its ``max_tokens`` exist, so nothing is ever evicted under way (GUARANTEED_NO_EVICT).
The caller decides when time passes: it calls `Engine.step` when an iteration starts and must not call
it again before ``at + duration_s``.
"""

from backends.simulator.iteration import EngineLimits, EngineRequest, Step
from backends.simulator.profiles import Profile
from backends.simulator.stats import KvEvent, RequestRecord


class Engine:
    """One replica's engine."""

    def __init__(self, profile: Profile, limits: EngineLimits, *, seed: int = 0) -> None: ...

    @property
    def queued(self) -> int:
        """Requests that wait for a slot or for KV blocks."""
        ...

    @property
    def active(self) -> int:
        """Requests that were admitted and did not end."""
        ...

    def submit(self, request: EngineRequest, at: float) -> None:
        """Queue ``request``; the next iteration may admit it.

        Raises:
            RequestNeverFits: it needs more slots or blocks than there are; nothing changed.
            ValueError: its id is in use, or a count in it is below 1.
        """
        ...

    def abort(self, request_id: int, at: float) -> RequestRecord | None:
        """End a request now: its slots and blocks are free for the next iteration.

        Outputs of the iteration under way were decided already; the caller drops them.
        Returns None when the request ended before.
        """
        ...

    def stop_sequence(self, request_id: int, index: int, at: float) -> RequestRecord | None:
        """End one sequence as of its last output, as for a stop string found in its text.

        Returns the request's record when this was its last sequence, else None.
        """
        ...

    def step(self, at: float) -> Step | None:
        """Run one iteration that starts at ``at``; None when there is nothing to run."""
        ...

    def drain_events(self) -> tuple[KvEvent, ...]:
        """Return the KV events since the last call, oldest first; at most ``event_buffer_size``."""
        ...
