"""Runs an engine in real time: one wake-up per iteration hands out all its outputs.

Iterations follow each other on absolute deadlines, so a late wake-up shortens the next pause
and no drift builds up. Where that is not enough the driver says so: it is never late in
silence.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from backends.simulator.engine import Engine
from backends.simulator.iteration import EngineRequest, Output, Step
from backends.simulator.stats import IterationStats, RequestRecord

_log = logging.getLogger(__name__)

LATE_S = 5e-3
LATE_SHARE = 0.25
"""An iteration is late by more than this share of its time, and by more than `LATE_S`."""
PATIENCE_S = 1.0
"""Lateness that lasts longer is given up: the backlog is dropped, and said."""


class Sink(Protocol):
    """Takes what a request yields; called on the event loop, so it must not block."""

    def deliver(self, output: Output) -> None:
        """Take new tokens of one sequence; may call `Driver.abort` and `Driver.stop_sequence`.

        A sink that raises has its request aborted; the others go on.
        """
        ...

    def end(self, record: RequestRecord) -> None:
        """Take the facts of the request after its last output; called once, on abort too."""
        ...


@dataclass(slots=True)
class Lateness:
    """How well the driver keeps up with the wall clock."""

    late_steps: int = 0
    """Iterations that were late (`LATE_S`, `LATE_SHARE`)."""
    worst_s: float = 0.0
    dropped_s: float = 0.0
    """Backlog that was given up: by so much the replica was slower than its profile says."""


class Driver:
    """Owns the engine's time; records and statistics speak in seconds of its clock."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float],
        time_scale: float = 1.0,
        on_step: Callable[[IterationStats], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Multiply every duration of ``engine`` by ``time_scale``: 0.1 runs ten times as fast.

        ``clock`` gives monotonic seconds. ``on_step`` sees each iteration when it has ended.

        Raises:
            ValueError: ``time_scale`` is not above 0.
        """
        if not time_scale > 0:
            raise ValueError(f"time_scale must be above 0, not {time_scale}")
        self.engine = engine
        self.lateness = Lateness()
        self._clock = clock
        self._scale = time_scale
        self._on_step = on_step
        self._sleep = sleep
        self._work = asyncio.Event()
        self._flows = asyncio.Event()
        self._flows.set()
        self._sinks: dict[int, Sink] = {}
        self._ended: list[RequestRecord] = []
        """Of requests that were ended from outside while an iteration was under way."""
        self._under_way = False
        self._late_since: float | None = None

    def submit(self, request: EngineRequest, sink: Sink) -> None:
        """Queue ``request`` now.

        Raises:
            RequestNeverFits: as `Engine.submit`; ``sink`` is never called.
            ValueError: likewise.
        """
        if request.id in self._sinks:
            raise ValueError(f"request id {request.id} is in use")
        self.engine.submit(request, self._clock() / self._scale)
        self._sinks[request.id] = sink
        self._work.set()

    def abort(self, request_id: int) -> None:
        """End a request: its sink gets no more outputs, and the record when the iteration ends.

        Unknown ids, and those of requests that ended, are no error.
        """
        sink = self._sinks.get(request_id)
        if sink is None:
            return
        self._sinks[request_id] = _EndOnly(sink)
        self._note_end(self.engine.abort(request_id))

    def stop_sequence(self, request_id: int, index: int) -> None:
        """End one sequence as of its last output; for `Sink.deliver` to call.

        When it was the request's last one, the sink gets the record as the iteration's outputs
        are all delivered. Called between iterations, one output already decided may still come.
        """
        self._note_end(self.engine.stop_sequence(request_id, index))

    def hold(self, *, held: bool) -> None:
        """Let no iteration begin while ``held``; requests go on being queued."""
        if held:
            self._flows.clear()
        else:
            self._flows.set()

    async def run(self) -> None:
        """Step the engine until cancelled."""
        starts_at = self._clock()
        while True:
            if not self._flows.is_set():
                await self._flows.wait()
                starts_at = self._clock()
            step = self.engine.step(starts_at / self._scale)
            if step is None:
                if not self.engine.queued:  # what is queued came while this loop was late
                    self._work.clear()
                    await self._work.wait()
                starts_at = self._clock()
                self._late_since = None
                continue
            duration_s = step.duration_s * self._scale
            ends_at = starts_at + duration_s
            self._under_way = True
            await self._sleep(max(0.0, ends_at - self._clock()))
            starts_at = self._next_start(ends_at, duration_s)
            self._hand_out(step)

    def _next_start(self, ended_at: float, duration_s: float) -> float:
        """Return when the next iteration starts: when this one should have ended, or now."""
        now = self._clock()
        late_s = now - ended_at
        if late_s <= max(LATE_S, LATE_SHARE * duration_s):
            self._late_since = None
            return ended_at
        self.lateness.late_steps += 1
        self.lateness.worst_s = max(self.lateness.worst_s, late_s)
        if self._late_since is None:
            self._late_since = now
        if now - self._late_since < PATIENCE_S:
            return ended_at
        self._late_since = None
        self.lateness.dropped_s += late_s
        _log.warning(
            "the simulator cannot keep up: iterations ended late for %g s, now by %.0f ms; "
            "%d late so far, %.2f s dropped; times measured now are not those of the profile: "
            "use fewer streams or a larger time scale",
            PATIENCE_S,
            late_s * 1e3,
            self.lateness.late_steps,
            self.lateness.dropped_s,
        )
        return now

    def _hand_out(self, step: Step) -> None:
        sinks = self._sinks
        for output in step.outputs:
            request_id = output.request_id
            try:
                sinks[request_id].deliver(output)
            except Exception:  # noqa: BLE001 - whatever one sink does, the other streams go on
                _log.exception("a sink failed; its request %d is aborted", request_id)
                self.abort(request_id)
        self._under_way = False
        if self._on_step is not None:
            self._on_step(self._in_real_time(step.stats))
        for record in step.finished:
            self._end(record)
        if self._ended:
            ended, self._ended = self._ended, []
            for record in ended:
                self._end(record)

    def _note_end(self, record: RequestRecord | None) -> None:
        if record is None:
            return
        if self._under_way:
            self._ended.append(record)
        else:
            self._end(record)

    def _end(self, record: RequestRecord) -> None:
        sink = self._sinks.pop(record.request_id)
        try:
            sink.end(self._record_in_real_time(record))
        except Exception:  # noqa: BLE001 - as in `_hand_out`
            _log.exception("a sink failed at the end of request %d", record.request_id)

    def _in_real_time(self, stats: IterationStats) -> IterationStats:
        if self._scale == 1.0:
            return stats
        return msgspec.structs.replace(
            stats,
            started_at=stats.started_at * self._scale,
            latency_s=stats.latency_s * self._scale,
            new_active_queue_s=stats.new_active_queue_s * self._scale,
        )

    def _record_in_real_time(self, record: RequestRecord) -> RequestRecord:
        if self._scale == 1.0:
            return record
        return msgspec.structs.replace(
            record,
            arrival_at=record.arrival_at * self._scale,
            first_scheduled_at=self._real(record.first_scheduled_at),
            first_token_at=self._real(record.first_token_at),
            last_token_at=self._real(record.last_token_at),
        )

    def _real(self, at: float | None) -> float | None:
        return None if at is None else at * self._scale


class _EndOnly:
    """Stands in for the sink of an aborted request."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def deliver(self, output: Output) -> None:
        """Drop it: the request was aborted after this iteration had been decided."""

    def end(self, record: RequestRecord) -> None:
        """Pass it on."""
        self._sink.end(record)
