"""A client behind any ASGI server.

A server says nothing of a client that left unless it is asked, so one small task asks as long
as the request runs.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from gateway.core.answers import StreamReader
from gateway.core.error_shapes import body_of, event_of
from gateway.core.errors import GatewayError
from gateway.core.operation import ErrorShape
from gateway.core.patience import Patience
from gateway.dataplane.answer import Answer
from gateway.dataplane.client import (
    PING,
    STREAM_HEADERS,
    ClientLeft,
    Header,
    Leaving,
    OnFirst,
    failure_headers,
    json_headers,
    too_large,
)
from gateway.dataplane.relay import relay


class PortableClient:
    """Speaks through ASGI's ``receive`` and ``send``."""

    __slots__ = (
        "_receive",
        "_send",
        "asked",
        "committed",
        "content_sent",
        "errors",
        "finished",
        "headers",
        "method",
        "next_number",
        "sends",
        "sent",
        "status",
        "task",
    )

    def __init__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve the request of ``scope``."""
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.task = asyncio.current_task()
        self.sent: Sequence[Header] = [*scope["headers"]]
        self.asked: Mapping[bytes, bytes] = dict(self.sent)
        self.errors = ErrorShape.CHUNK
        self.next_number = 0
        self.headers: list[Header] = []
        self.status = 0
        self.committed = False
        self.content_sent = False
        self.finished = False
        self.sends = 0
        """Begun plus ended ones: odd while one waits for the client."""

    async def body(self, *, declared: int | None, limit: int) -> bytes:
        """See `Client.body`."""
        if declared is not None and declared > limit:
            raise too_large(limit)
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return _within(limit, message["body"])
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] != "http.request":
                raise ClientLeft
            parts.append(message["body"])
            size += len(message["body"])
            if size > limit:
                raise too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self._receive()

    def leaving(self, *, write_s: float) -> Leaving:
        """See `Client.leaving`; the body must have been read."""
        assert self.task is not None  # noqa: S101 - a coroutine always runs in one
        watch = _Watch(self, self._receive, write_s, self.task.get_loop())
        return Leaving(self.task, watch.begin, lambda: self.finished)

    async def relay(
        self, answer: Answer, stream: StreamReader, patience: Patience, on_first: OnFirst
    ) -> None:
        """See `Client.relay`."""
        # In a task of its own, which this frame owns: it wakes for each event, and through the
        # dozen frames above that costs more than to read the event.
        await asyncio.get_running_loop().create_task(
            relay(answer, stream, self, patience, on_first)
        )

    async def stream(self, events: bytes) -> None:
        """Send whole events, after the status line if it has not gone out."""
        if not self.committed:
            await self._start(200, [*STREAM_HEADERS, *self.headers])
        self.content_sent = True
        self.sends += 1
        await self._send({"type": "http.response.body", "body": events, "more_body": True})
        self.sends += 1

    async def ping(self) -> None:
        """See `Client.ping`."""
        if not self.committed:
            await self._start(200, [*STREAM_HEADERS, *self.headers])
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    async def finish(self) -> None:
        """End the stream."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.finished = True

    async def reply(
        self, status: int, body: bytes, *, more: Mapping[bytes, bytes] | None = None
    ) -> None:
        """See `Client.reply`."""
        await self._start(
            status, [*json_headers(len(body)), *self.headers, *(more or {}).items()]
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.finished = True

    async def fail(self, error: GatewayError) -> None:
        """See `Client.fail`."""
        if self.committed:
            event = event_of(error, self.errors, self.next_number)
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
        else:
            await self.reply(
                error.status, body_of(error, self.errors), more=failure_headers(error)
            )

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.committed = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


class _Watch:
    """Asks the server whether the client has left, and looks whether it still reads."""

    __slots__ = ("_client", "_leave", "_loop", "_receive", "_timer", "_watcher", "_write_s")

    def __init__(
        self,
        client: PortableClient,
        receive: Receive,
        write_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._client = client
        self._receive = receive
        self._write_s = write_s
        self._loop = loop

    def begin(self, leave: Callable[[], None]) -> Callable[[], None]:
        self._leave = leave
        # Owned by the frame that calls what is returned here: it never outlives it.
        self._watcher: asyncio.Task[Any] = self._loop.create_task(self._ask())
        self._timer = self._loop.call_later(self._write_s, self._look, self._client.sends)
        return self._end

    def _end(self) -> None:
        self._timer.cancel()
        self._watcher.cancel()
        del self._watcher, self._timer, self._leave

    async def _ask(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _look(self, seen: int) -> None:
        sends = self._client.sends
        if sends == seen and sends % 2:  # the send that was waiting then waits still
            self._leave()
        else:
            self._timer = self._loop.call_later(self._write_s, self._look, sends)


def _within(limit: int, body: bytes) -> bytes:
    if len(body) > limit:
        raise too_large(limit)
    return body
