"""Turn a log event into one line: JSON for machines, a readable line for a terminal.

Rule: an event is one line whatever is in it, except a traceback on a terminal: what is not
printable is escaped.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

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
    fields: Mapping[str, object] | RequestLine
    """Of a request every field was chosen to be logged; in all else secrets are looked for."""
    trace: str | None = None
    """A traceback."""
    process: Mapping[str, object] = field(default_factory=dict)
    """Whose event it is, such as the worker's slot."""


Render = Callable[[LogEvent], bytes]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) not in "\n\t"}


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


def render_json(event: LogEvent) -> bytes:
    """Return one JSON object and a newline; ``ts`` is RFC 3339 in UTC."""
    head = {"ts": _instant(event.at), "level": event.level, "event": event.name}
    if isinstance(event.fields, RequestLine):  # one for each request: no detour over a dict
        parts = (head, event.fields, event.process)
        inner = [part for each in parts if (part := msgspec.json.encode(each)[1:-1])]
        return b"{%b}\n" % b",".join(inner)
    line = {**head, **_fields(event)}
    if event.trace:
        line["exception"] = redact(event.trace)
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which only the standard encoder escapes
        return json.dumps(line).encode() + b"\n"


def render_pretty(event: LogEvent) -> bytes:
    """Return a line for a person: local time, level, event or message, fields."""
    fields = _fields(event)
    at = datetime.fromtimestamp(event.at, UTC).astimezone()
    title = event.name
    if event.name == "log":
        title = _one_line(fields.pop("message", ""))
        fields.pop("logger", None)
    rest = " ".join(f"{_one_line(name)}={_one_line(value)}" for name, value in fields.items())
    colour = _COLOURS.get(event.level, "")
    level = f"{colour}{event.level:<7}{_PLAIN if colour else ''}"
    line = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {level} {title} {rest}".rstrip()
    if event.trace:
        line += "\n" + redact(event.trace).translate(_CONTROL)
    return line.encode(errors="backslashreplace") + b"\n"


def _fields(event: LogEvent) -> dict[str, object]:
    if isinstance(event.fields, RequestLine):
        fields: dict[str, object] = msgspec.to_builtins(event.fields)
    else:
        fields = redact_fields(event.fields)
    return {**fields, **event.process}


def _instant(at: float) -> str:
    second = math.floor(at)
    return f"{_second(second)}.{int((at - second) * 1000):03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _one_line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text.isprintable() else json.dumps(text)
