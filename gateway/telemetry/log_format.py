"""Turn a log event into one line: JSON for machines, a readable line for a terminal.

Rule: an event is one line whatever is in it, except a traceback on a terminal: what is not
printable is escaped.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import msgspec

from gateway.telemetry.redaction import redact, redact_fields
from gateway.telemetry.request_line import RequestLine


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something that happened, before it is formatted."""

    at: float
    """Unix seconds."""
    level: str
    name: str
    """What kind of event; ``log`` for lines of the `logging` module."""
    fields: Mapping[str, object]
    trace: str | None = None
    """A traceback."""


class Lines(Protocol):
    """Makes lines that end in the fields of this process, such as the worker's slot."""

    def event(self, event: LogEvent) -> bytes:
        """Return the line of an event, without the secrets that are in it."""
        ...

    def request(self, at: float, line: RequestLine) -> bytes:
        """Return the line of a request that ended ``at``, in Unix seconds.

        Nothing is looked for in it: each of its fields was chosen to be logged.
        """
        ...


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"}

_ENCODER = msgspec.json.Encoder()


def from_record(record: logging.LogRecord) -> LogEvent:
    """Return the event of a `logging` call, with what it got as ``extra``."""
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return LogEvent(
        at=record.created,
        level=record.levelname.lower(),
        name="log",
        fields={"logger": record.name, "message": record.getMessage(), **extra},
        trace=record.exc_text,
    )


class JsonLines:
    """Each line is one JSON object; ``ts`` is RFC 3339 in UTC."""

    def __init__(self, process: Mapping[str, object]) -> None:
        """End each line with the fields of ``process``."""
        self._process = dict(process)
        tail = msgspec.json.encode(self._process)[1:]
        self._tail = (b"," if self._process else b"") + tail + b"\n"

    def event(self, event: LogEvent) -> bytes:
        """Return the line of an event."""
        head = {"ts": _instant(event.at), "level": event.level, "event": event.name}
        line = {**head, **redact_fields(event.fields), **self._process}
        if event.trace:
            line["exception"] = redact(event.trace)
        try:
            return msgspec.json.encode(line) + b"\n"
        except UnicodeEncodeError:  # a lone surrogate, which only the standard encoder escapes
            return json.dumps(line).encode() + b"\n"

    def request(self, at: float, line: RequestLine) -> bytes:
        """Return the line of a request: one for each, so all but its own fields is ready."""
        head = b'{"ts":"%b","level":"info","event":"request",' % _instant(at).encode()
        return head + _ENCODER.encode(line)[1:-1] + self._tail


class ReadableLines:
    """Each line is for a person: local time, level, event or message, fields."""

    def __init__(self, process: Mapping[str, object]) -> None:
        """End each line with the fields of ``process``."""
        self._process = dict(process)

    def event(self, event: LogEvent) -> bytes:
        """Return the line of an event, and its traceback below."""
        fields = {**redact_fields(event.fields), **self._process}
        title = event.name
        if event.name == "log":
            title = _one_line(fields.pop("message", ""))
            fields.pop("logger", None)
        line = _readable(event.at, event.level, title, fields)
        if event.trace:
            line += "\n" + redact(event.trace).translate(_CONTROL)
        return line.encode(errors="backslashreplace") + b"\n"

    def request(self, at: float, line: RequestLine) -> bytes:
        """Return the line of a request."""
        fields = {**msgspec.to_builtins(line), **self._process}
        return _readable(at, "info", "request", fields).encode() + b"\n"


def _readable(at: float, level: str, title: str, fields: Mapping[str, object]) -> str:
    local = datetime.fromtimestamp(at, UTC).astimezone()
    rest = " ".join(f"{_one_line(name)}={_one_line(value)}" for name, value in fields.items())
    colour = _COLOURS.get(level, "")
    shown = f"{colour}{level:<7}{_PLAIN if colour else ''}"
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d} {shown} {title} {rest}".rstrip()


def _instant(at: float) -> str:
    second = math.floor(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _one_line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text.isprintable() else json.dumps(text)
