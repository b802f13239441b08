"""A client over a bare socket that forgives nothing: any byte out of place is told.

It takes an answer for whole as the SDKs do: when the body ends as HTTP has it and no error
came. Whether there was a finish reason and ``[DONE]`` is told beside that.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.calls import Call
from tests.chaos.checker import Ended, Seen
from tests.chaos.wire import DONE, text_of

_OK = 200
_LIMIT = 1 << 25


class OutOfPlace(ValueError):  # noqa: N818 - names the condition
    """What came is not what HTTP or an event stream has there."""


@dataclass
class _View:
    """What was seen so far."""

    began_at: float
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    done: bool = False
    ids: set[str] = field(default_factory=set)
    first_text_s: float | None = None

    def take(self, payload: bytes) -> None:
        """Take the payload of one event.

        Raises:
            OutOfPlace: it came after the end, or is none.
        """
        if self.done or self.error is not None:
            raise OutOfPlace(f"after the end: {payload[:80]!r}")
        if payload == DONE:
            self.done = True
            return
        self.take_object(_decoded(payload))

    def take_object(self, chunk: dict[str, Any]) -> None:
        """Take a chunk, or a whole answer."""
        if "error" in chunk or self.status != _OK:
            self.error = chunk.get("error", chunk)
            return
        self.ids.add(chunk["id"])
        if text := text_of(chunk):
            self.text.append(text)
            if self.first_text_s is None:
                self.first_text_s = time.monotonic() - self.began_at
        for choice in chunk["choices"]:
            self.finish_reason = choice.get("finish_reason") or self.finish_reason


async def ask(url: str, call: Call, *, limit_s: float) -> Seen:
    """Make a call and return what came of it; never raises for what the server does."""
    view = _View(time.monotonic())
    ended, note = Ended.WELL, ""
    try:
        async with asyncio.timeout(limit_s):
            await _exchange(url, call, view)
    except TimeoutError:
        ended = Ended.HUNG
    except (ConnectionError, asyncio.IncompleteReadError) as broken:
        ended, note = Ended.TRANSPORT, repr(broken)
    except (OutOfPlace, asyncio.LimitOverrunError, KeyError, TypeError) as strange:
        ended, note = Ended.CONFUSED, repr(strange)
    seen = Seen(
        number=call.number,
        ended=ended,
        status=view.status,
        text="".join(view.text),
        finish_reason=view.finish_reason,
        error=view.error,
        note=note,
        began_at=view.began_at,
        ended_at=time.monotonic(),
        first_text_s=view.first_text_s,
        attempts=int(view.headers.get("x-trtgw-attempts", 0)) or None,
        ids=len(view.ids),
    )
    if ended is Ended.WELL and (view.error is not None or view.status != _OK):
        return replace(seen, ended=Ended.TOLD)
    if ended is Ended.WELL and call.stream and not view.done:
        return replace(seen, finish_reason=None, note="no [DONE]")
    return seen


async def _exchange(url: str, call: Call, view: _View) -> None:
    place = urlsplit(url)
    body = json.dumps(call.body).encode()
    head = (
        f"POST {call.path} HTTP/1.1\r\nHost: {place.netloc}\r\nx-request-id: {call.id}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=_LIMIT)
    try:
        writer.write(head.encode() + body)
        await _read(reader, view)
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, view: _View) -> None:
    status_line = (await _line(reader)).split(b" ", 2)
    if status_line[0] != b"HTTP/1.1" or not status_line[1].isdigit():
        raise OutOfPlace(repr(status_line))
    view.status = int(status_line[1])
    while line := await _line(reader):
        name, _, value = line.decode("latin-1").partition(":")
        view.headers[name.lower()] = value.strip()
    if view.headers.get("transfer-encoding") != "chunked":
        body = await reader.readexactly(int(view.headers["content-length"]))
        view.take_object(_decoded(body))
        return
    rest = b""
    while size := _size(await _line(reader)):
        rest += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise OutOfPlace("no line end after a chunk")
        rest = _take_events(rest, view)
    if await reader.readexactly(2) != b"\r\n":
        raise OutOfPlace("no line end after the last chunk")
    if rest:
        raise OutOfPlace(f"the last event is not ended: {rest[:80]!r}")


def _take_events(data: bytes, view: _View) -> bytes:
    """Take the events that are whole; return the rest."""
    *events, rest = data.split(b"\n\n")
    for event in events:
        if event.startswith(b"data: ") and b"\n" not in event:
            view.take(event[len(b"data: ") :])
        elif not event.startswith(b":"):
            raise OutOfPlace(f"no event: {event[:80]!r}")
    return rest


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readuntil(b"\n")
    if not line.endswith(b"\r\n"):
        raise OutOfPlace(f"a line without CR: {line[:80]!r}")
    return line[:-2]


def _size(line: bytes) -> int:
    try:
        return int(line, 16)
    except ValueError:
        raise OutOfPlace(f"the size of a chunk: {line[:80]!r}") from None


def _decoded(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload.decode())
    except ValueError:
        raise OutOfPlace(f"no JSON: {payload[:80]!r}") from None
    if not isinstance(found, dict):
        raise OutOfPlace(f"no object: {payload[:80]!r}")
    return found
