"""Structured logs: formatted and written in a thread of their own, behind a bounded queue.

Rule: nothing here ever blocks the caller, nor raises. When the sink is slower than the log,
lines are thrown away and counted, and the log says how many as soon as it can.
"""

import logging
import os
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from copy import copy
from threading import Event, Thread

from typing_extensions import override

from gateway.core.outcome import RequestFacts
from gateway.telemetry.log_format import (
    JsonLines,
    Lines,
    LogEvent,
    ReadableLines,
    from_record,
)
from gateway.telemetry.request_line import request_line

CAPACITY = 8192
"""Lines that wait to be written."""
GATHER_S = 0.1
"""How long lines are gathered."""
_WRITE_LINES = 256
"""Lines that one write carries at most."""
_STDERR = 2
_CHATTY = ("httpx", "httpcore", "uvicorn.error")
"""Libraries that tell at level info of every probe, every start and every stop."""

_Request = tuple[float, RequestFacts, str | None]


class Logs(logging.Handler):
    """A handler for the root logger, and the way in for request lines."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        lines: Lines,
        *,
        wall: Callable[[], float],
        capacity: int = CAPACITY,
        gather_s: float = GATHER_S,
    ) -> None:
        """Start the thread that gives finished lines to ``write``, which may block.

        Args:
            write: gets one or more whole lines.
            lines: makes them.
            wall: Unix time.
            capacity: lines that may wait; more are thrown away.
            gather_s: how long lines are gathered after the first.
        """
        super().__init__()
        self._write = write
        self._lines = lines
        self._wall = wall
        self._capacity = capacity
        self._gather_s = gather_s
        self._queue: deque[logging.LogRecord | _Request] = deque()
        self._waiting = Event()
        self._ending = Event()
        self._overflowed = 0
        self._unwritten = 0
        self._reported = 0
        self._thread = Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines thrown away since the start."""
        return self._overflowed + self._unwritten

    def request(self, facts: RequestFacts, trace_id: str | None = None) -> None:
        """Log a finished request; ``facts`` must not change any more."""
        if self.level <= logging.INFO:
            self._put((self._wall(), facts, trace_id))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, with its message made now: its arguments may change later."""
        record = copy(record)  # other handlers get the original
        if record.args:
            record.msg, record.args = _message(record), None
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        record.exc_info = None
        self._put(record)

    def finish(self, *, timeout_s: float) -> None:
        """Write what is queued, for ``timeout_s`` at most; blocks, and later lines are lost."""
        self._ending.set()
        self._waiting.set()
        self._thread.join(timeout_s)

    def _put(self, item: logging.LogRecord | _Request) -> None:
        if len(self._queue) >= self._capacity:
            self._overflowed += 1
            return
        self._queue.append(item)
        if not self._waiting.is_set():
            self._waiting.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._waiting.wait()
            self._ending.wait(self._gather_s)
            self._waiting.clear()  # before the queue is emptied: a later line sets it again
            while self._queue:
                self._write_some()

    def _write_some(self) -> None:
        lines: list[bytes] = []
        while self._queue and len(lines) < _WRITE_LINES:
            lines.append(self._line(self._queue.popleft()))
        self._write_lines(lines)
        lost = self.dropped - self._reported
        if lost:
            self._reported += lost
            message = f"{lost} log lines were thrown away: they came faster than the sink"
            fields = {"logger": __name__, "message": message}
            told = LogEvent(self._wall(), "warning", "log", fields)
            self._write_lines([self._lines.event(told)])

    def _line(self, item: logging.LogRecord | _Request) -> bytes:
        try:
            if isinstance(item, logging.LogRecord):
                return self._lines.event(from_record(item))
            at, facts, trace_id = item
            return self._lines.request(at, request_line(facts, trace_id))
        except Exception:  # noqa: BLE001 - one bad line must not end the log
            self._unwritten += 1
            return b""

    def _write_lines(self, lines: list[bytes]) -> None:
        try:
            self._write(b"".join(lines))
        except Exception:  # noqa: BLE001 - a lost sink must not end the log
            self._unwritten += sum(map(bool, lines))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # the arguments do not fit the format: show both
        return f"{record.msg} {record.args!r}"


def start_logs(
    *,
    level: str,
    wall: Callable[[], float],
    fields: Mapping[str, object],
    descriptor: int = _STDERR,
) -> Logs:
    """Log this process to a file descriptor: JSON, or readable lines if it is a terminal.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        wall: Unix time.
        fields: added to every line, such as the worker's slot.
        descriptor: written to directly; Python's buffers of it are not used.
    """
    lines = ReadableLines(fields) if os.isatty(descriptor) else JsonLines(fields)
    logs = Logs(_writer(descriptor), lines, wall=wall)
    logs.setLevel(level.upper())
    root = logging.getLogger()
    root.handlers = [logs]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    return logs


def _writer(descriptor: int) -> Callable[[bytes], None]:
    # os.write, not sys.stderr: a thread stuck in a buffered write would hold the buffer's lock
    # and stop the interpreter from ending.
    def write(line: bytes) -> None:
        while line:
            line = line[os.write(descriptor, line) :]

    return write
