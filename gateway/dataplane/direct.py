"""A client whose transport is written to directly, past the server's own response.

Rule: what is written here must be the HTTP/1.1 that the server would have written, since it
goes on with the connection. `serving` makes these clients, on uvicorn; behind any other server
`portable` does the same.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from gateway.core.answers import StreamReader
from gateway.core.error_shapes import body_of, event_of
from gateway.core.errors import GatewayError
from gateway.core.operation import ErrorShape
from gateway.core.patience import Patience
from gateway.dataplane.answer import Answer
from gateway.dataplane.client import (
    PING,
    STREAM_HEADERS,
    Header,
    Leaving,
    OnFirst,
    failure_headers,
    too_large,
)
from gateway.dataplane.relay import LINGER_S, settle
from gateway.dataplane.request_body import BodySource, RequestBody
from gateway.dataplane.splice import Splice

_LAST_CHUNK = b"0\r\n\r\n"
_STATUS_LINES = {s.value: b"HTTP/1.1 %d %b\r\n" % (s, s.phrase.encode()) for s in HTTPStatus}


def lines(headers: "list[Header] | tuple[Header, ...]") -> bytes:
    """Return headers as they go over the wire, without the empty line after the last."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


_JSON_LINES = b"content-type: application/json\r\ncontent-length: %d\r\n"
_STREAM_LINES = lines(STREAM_HEADERS) + b"transfer-encoding: chunked\r\n"


class Line(BodySource, Protocol):
    """The server's connection to one client."""

    @property
    def default_lines(self) -> bytes:
        """Header lines that every answer carries: the date."""
        ...

    async def drained(self) -> None:
        """Wait until the client has read what was sent, or is gone."""
        ...

    def answered(self) -> None:
        """Take up the next request: this one has its whole answer."""
        ...


class DirectClient:
    """One request on a connection that can be written to directly."""

    __slots__ = (
        "_leave",
        "_line",
        "_loop",
        "_pause_timer",
        "_splice",
        "_unread_bytes",
        "_write_s",
        "asked",
        "body_parts",
        "content_sent",
        "errors",
        "finished",
        "gone",
        "headers",
        "keep_alive",
        "method",
        "next_number",
        "paused",
        "sent",
        "status",
        "task",
        "write_chunk",
    )

    def __init__(
        self,
        line: Line,
        method: str,
        sent: Sequence[Header],
        *,
        loop: asyncio.AbstractEventLoop,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        """Answer on ``line``.

        ``expects_continue``: the client waits to be asked for its body.
        """
        self._line = line
        self._loop = loop
        self.write_chunk: Callable[[bytes], None] = line.transport.write
        self.method = method
        self.sent = sent
        self.asked: Mapping[bytes, bytes] = dict(sent)
        self.task: asyncio.Task[Any] | None = None
        self.errors = ErrorShape.CHUNK
        self.next_number = 0
        self.headers: list[Header] = []
        self.status = 0
        self.content_sent = False
        self.finished = False
        self.keep_alive = keep_alive
        """Whether the connection serves another request after this one."""
        self.gone = False
        """The connection was lost."""
        self.paused = False
        """The client reads more slowly than it is written to."""
        self.body_parts = RequestBody(line, loop, expects_continue=expects_continue)
        self._leave: Callable[[], None] | None = None
        self._splice: Splice | None = None
        self._pause_timer: asyncio.TimerHandle | None = None
        self._write_s = 0.0
        self._unread_bytes = 0

    @property
    def committed(self) -> bool:
        """See `Client.committed`."""
        return self.status != 0

    # What the server's connection calls.

    def lost(self) -> None:
        """Note that the connection is gone."""
        self.gone = True
        self._stop_pause_timer()
        self.body_parts.lost()
        if self._splice is not None:
            self._splice.cut()
        if self._leave is not None:
            self._leave()

    def abandon(self) -> None:
        """End the connection in the middle of the answer."""
        self.finished = True
        self._line.transport.abort()

    def writing_paused(self) -> None:
        """Write no more than needed: the client's buffers are full."""
        self.paused = True
        if self._splice is not None:
            self._splice.hold_back()
        if self._leave is not None and self._pause_timer is None:
            self._wait_for_reading()

    def writing_resumed(self) -> None:
        """Write on."""
        self.paused = False
        self._stop_pause_timer()
        if self._splice is not None:
            self._splice.let_on()

    # What the handler calls.

    async def body(self, *, declared: int | None, limit: int) -> bytes:
        """See `Client.body`."""
        if declared is not None and declared > limit:
            raise too_large(limit)
        return await self.body_parts.read(limit)

    def leaving(self, *, write_s: float) -> Leaving:
        """See `Client.leaving`."""
        assert self.task is not None  # noqa: S101 - set before the task first runs
        self._write_s = write_s
        return Leaving(self.task, self._watch, lambda: self.finished)

    async def relay(
        self, answer: Answer, stream: StreamReader, patience: Patience, on_first: OnFirst
    ) -> None:
        """See `Client.relay`."""
        self._splice = splice = Splice(answer, stream, self, on_first)
        try:
            await splice.run(patience, self._loop)
        except asyncio.CancelledError:
            if not self.finished:  # else the client has its whole answer
                raise
        finally:
            self._splice = None
        await settle(answer, self._loop.time() + LINGER_S)

    def write(self, events: bytes, *, last: bool) -> None:
        """Send whole events, after the status line if it has not gone out, and the end."""
        if self.gone:
            return
        self.content_sent = True
        framed = b"%x\r\n%b\r\n" % (len(events), events)
        if not self.status:
            framed = self._head(200, _STREAM_LINES) + framed
        if last:
            framed += _LAST_CHUNK
        self._line.transport.write(framed)
        if last:
            self._end()

    async def ping(self) -> None:
        """See `Client.ping`."""
        if self.gone:
            return
        head = b"" if self.status else self._head(200, _STREAM_LINES)
        self._line.transport.write(head + b"%x\r\n%b\r\n" % (len(PING), PING))

    async def reply(
        self, status: int, body: bytes, *, more: Mapping[bytes, bytes] | None = None
    ) -> None:
        """See `Client.reply`."""
        if self.paused:  # the answer before this one is still on its way
            await self._line.drained()
        told = _JSON_LINES % len(body)
        if more:
            told += lines([*more.items()])
        head = self._head(status, told)
        if not self.gone:
            self._line.transport.writelines((head, body))
            self._end()

    async def fail(self, error: GatewayError) -> None:
        """See `Client.fail`."""
        if not self.status:
            await self.reply(
                error.status, body_of(error, self.errors), more=failure_headers(error)
            )
        elif not (self.gone or self.finished):
            event = event_of(error, self.errors, self.next_number)
            last = b"%x\r\n%b\r\n" % (len(event), event) + _LAST_CHUNK
            self._line.transport.write(last)
            self._end()

    def _head(self, status: int, told: bytes) -> bytes:
        self.status = status
        close = b"" if self.keep_alive else b"connection: close\r\n"
        rest = lines(self.headers)
        return b"%b%b%b%b%b\r\n" % (
            _STATUS_LINES[status],
            self._line.default_lines,
            told,
            rest,
            close,
        )

    def _end(self) -> None:
        self.finished = True
        self.body_parts.drop()
        self._stop_pause_timer()
        if not self.keep_alive:
            self._line.transport.close()
        self._line.answered()

    def _watch(self, leave: Callable[[], None]) -> Callable[[], None]:
        self._leave = leave
        if self.gone:
            leave()
        elif self.paused:
            self.writing_paused()
        return self._unwatch

    def _unwatch(self) -> None:
        self._leave = None
        self._stop_pause_timer()

    def _wait_for_reading(self) -> None:
        self._unread_bytes = self._line.transport.get_write_buffer_size()
        self._pause_timer = self._loop.call_later(self._write_s, self._read_nothing)

    def _read_nothing(self) -> None:
        self._pause_timer = None
        if self._line.transport.get_write_buffer_size() < self._unread_bytes:
            self._wait_for_reading()
        elif self._leave is not None:
            self._leave()

    def _stop_pause_timer(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
