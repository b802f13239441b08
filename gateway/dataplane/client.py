"""The client's side of one request: its body, its leaving, and what it is sent.

Rule: the status line goes out once, and after it a failure can only be told inside the stream.
A server says nothing of a client that left unless it is asked, so one small task asks as long
as the request runs.
"""

import asyncio
import math
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from litestar.types import HTTPScope, Receive, Send

from gateway.core.errors import (
    GatewayError,
    MethodNotAllowed,
    RequestTooLarge,
    error_body,
    error_event,
)

Header = tuple[bytes, bytes]

_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy in front must not save chunks up
)
PING = b"\n\n"
"""No event and no comment: NVIDIA's benchmark client takes each line with text for JSON."""


class ClientLeft(Exception):  # noqa: N818 - names the condition
    """The client closed its connection, or read no more, before the answer was complete."""


class Client:
    """One client connection for the length of one request."""

    __slots__ = (
        "_send",
        "asked",
        "committed",
        "content_sent",
        "finished",
        "headers",
        "receive",
        "sends",
        "status",
        "task",
    )

    def __init__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Speak through the server's ``receive`` and ``send``."""
        self.receive = receive
        self._send = send
        self.task = asyncio.current_task()
        """Serves this request, and is cancelled when the client leaves."""
        self.asked: Mapping[bytes, bytes] = dict(scope["headers"])
        """The request's headers, names in lower case."""
        self.headers: list[Header] = []
        """Sent with whatever status line goes out."""
        self.status = 0
        self.committed = False
        """The status line went out."""
        self.content_sent = False
        """Part of an answer went out: no other replica may be tried."""
        self.finished = False
        """The answer was ended: from now on the connection may close."""
        self.sends = 0
        """Grows as a send begins and as it ends: odd while the client is waited for."""

    async def body(self, *, declared: int | None, limit: int) -> bytes:
        """Read the request's body.

        Raises:
            RequestTooLarge: it is, or says it is, longer than ``limit`` bytes.
            ClientLeft: the client closed the connection first.
        """
        if declared is not None and declared > limit:
            raise _too_large(limit)
        message = await self.receive()
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
                raise _too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()

    def leaving(self, *, write_s: float) -> "Leaving":
        """Return a context that ends with `ClientLeft` as soon as the client leaves.

        So it ends when the client reads nothing for ``write_s`` to twice that.
        """
        assert self.task is not None  # noqa: S101 - a coroutine always runs in one
        return Leaving(self, self.task, write_s)

    async def stream(self, events: bytes) -> None:
        """Send whole events, after the status line if it has not gone out."""
        if not self.committed:
            await self._start(200, [*_STREAM, *self.headers])
        self.content_sent = True
        self.sends += 1
        await self._send({"type": "http.response.body", "body": events, "more_body": True})
        self.sends += 1

    async def ping(self) -> None:
        """Show a waiting client that its request is alive.

        Commits the status, not the answer.
        """
        if not self.committed:
            await self._start(200, [*_STREAM, *self.headers])
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    async def finish(self) -> None:
        """End the stream."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self.finished = True

    async def reply(
        self, status: int, body: bytes, *, more: Mapping[bytes, bytes] | None = None
    ) -> None:
        """Send a whole JSON reply."""
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *self.headers,
            *(more or {}).items(),
        ]
        await self._start(status, head)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.finished = True

    async def fail(self, error: GatewayError) -> None:
        """Tell of ``error``: as a status, or as the last event of a stream that has begun."""
        if self.committed:
            await self._send(
                {"type": "http.response.body", "body": error_event(error), "more_body": False}
            )
            return
        more: dict[bytes, bytes] = {}
        if not error.client_may_retry:
            more[b"x-should-retry"] = b"false"
        if error.retry_after_s is not None:
            more[b"retry-after"] = b"%d" % math.ceil(error.retry_after_s)
            more[b"retry-after-ms"] = b"%d" % round(error.retry_after_s * 1000)
        if isinstance(error, MethodNotAllowed):
            more[b"allow"] = error.allow.encode()
        await self.reply(error.status, error_body(error), more=more)

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.committed = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


class Leaving:
    """Cancels the request's task when the client leaves, and turns that into `ClientLeft`."""

    __slots__ = ("_client", "_left", "_loop", "_task", "_timer", "_watcher", "_write_s")

    def __init__(self, client: Client, task: "asyncio.Task[Any]", write_s: float) -> None:
        """Watch ``client``, whose body must have been read, on behalf of ``task``."""
        self._client = client
        self._task = task
        self._write_s = write_s
        self._left = False
        self._loop = task.get_loop()

    async def __aenter__(self) -> None:
        # Owned by this frame: it never outlives it.
        self._watcher = self._loop.create_task(self._watch())
        self._timer = self._loop.call_later(self._write_s, self._look, self._client.sends)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._watcher.cancel()
        # Its cancellation keeps a trace of its frame, which knows this object: without the way
        # back, all of it goes at once and not when the garbage collector comes.
        del self._watcher, self._timer
        if self._left:
            self._task.uncancel()
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                raise ClientLeft from None

    async def _watch(self) -> None:
        while (await self._client.receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _look(self, seen: int) -> None:
        sends = self._client.sends
        if sends == seen and sends % 2:  # the send that was waiting then waits still
            self._leave()
        else:
            self._timer = self._loop.call_later(self._write_s, self._look, sends)

    def _leave(self) -> None:
        if not self._left and not self._client.finished:
            self._left = True
            self._task.cancel()


def _within(limit: int, body: bytes) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the request body is over the limit of {limit} bytes")
