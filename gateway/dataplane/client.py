"""The client's side of one request: its body, its leaving, and what it is sent.

Rule: the status line goes out once, and after it a failure can only be told inside the stream.
Implementations: `portable` (any ASGI server) and `splice` (straight into the transport).
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol

from gateway.core.answers import StreamReader
from gateway.core.errors import GatewayError, MethodNotAllowed, RequestTooLarge
from gateway.core.operation import ErrorShape
from gateway.core.patience import Patience
from gateway.dataplane.answer import Answer

Header = tuple[bytes, bytes]
OnFirst = Callable[[float], None]
"""Called once, with the arrival of the first content, when that was handed on."""

STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy in front must not save chunks up
)
PING = b": ping\n\n"


class ClientLeft(Exception):  # noqa: N818 - names the condition
    """The client closed its connection, or read no more, before the answer was complete."""


class Client(Protocol):
    """One client connection for the length of one request."""

    @property
    def method(self) -> str:
        """HTTP method, upper case."""
        ...

    @property
    def sent(self) -> Sequence[Header]:
        """The request's headers as they came, names in lower case."""
        ...

    @property
    def asked(self) -> Mapping[bytes, bytes]:
        """The same by name; of a repeated one the last."""
        ...

    @property
    def task(self) -> "asyncio.Task[Any] | None":
        """Serves this request, and is cancelled when the client leaves."""
        ...

    errors: ErrorShape
    """In which it is told of failures."""
    next_number: int
    """The ``sequence_number`` of the next event of its stream."""
    headers: list[Header]
    """Sent with whatever status line goes out."""
    status: int
    """0 until a status line went out."""
    content_sent: bool
    """Part of an answer went out: no other replica may be tried."""
    finished: bool
    """The answer was ended: from now on the connection may close."""

    @property
    def committed(self) -> bool:
        """Whether the status line went out."""
        ...

    async def body(self, *, declared: int | None, limit: int) -> bytes:
        """Return the request's body.

        Raises:
            RequestTooLarge: it is longer than ``limit`` bytes, or was ``declared`` to be.
            ClientLeft: it never came to its end.
        """
        ...

    def leaving(self, *, write_s: float) -> AbstractAsyncContextManager[None]:
        """Return a context that ends with `ClientLeft` as soon as the client leaves.

        So it ends when the client reads nothing for ``write_s`` to twice that.
        """
        ...

    async def relay(
        self, answer: Answer, stream: StreamReader, patience: Patience, on_first: OnFirst
    ) -> None:
        """Stream until the answer is complete and the client has it.

        Args:
            answer: an answer of status 200; stays the caller's to close.
            stream: reads it.
            patience: how long to wait for what.
            on_first: see `OnFirst`.

        Raises:
            UpstreamError: the answer broke off, was no answer, or took too long; what had
            arrived by then was sent.
        """
        ...

    async def ping(self) -> None:
        """Show a waiting client that its request is alive: commits the status, no answer."""
        ...

    async def reply(
        self, status: int, body: bytes, *, more: Mapping[bytes, bytes] | None = None
    ) -> None:
        """Send a whole JSON reply, with ``more`` headers."""
        ...

    async def fail(self, error: GatewayError) -> None:
        """Tell of ``error``: as a status, or as the last event of a stream that has begun."""
        ...


class Leaving:
    """Cancels the request's task when the client leaves, and turns that into `ClientLeft`."""

    __slots__ = ("_finished", "_left", "_stop", "_task", "_watch")

    def __init__(
        self,
        task: "asyncio.Task[Any]",
        watch: Callable[[Callable[[], None]], Callable[[], None]],
        finished: Callable[[], bool],
    ) -> None:
        """Watch on behalf of ``task``.

        ``watch(leave)`` begins to call ``leave`` when the client goes, and returns what ends
        it; a client that goes once it has its whole answer, ``finished``, does not leave.
        """
        self._task = task
        self._watch = watch
        self._finished = finished
        self._left = False

    async def __aenter__(self) -> None:
        self._stop = self._watch(self._leave)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        # The watch knows this object: without the way back, all of it goes at once and not
        # when the garbage collector comes.
        del self._stop, self._watch, self._finished
        if self._left:
            self._task.uncancel()
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                raise ClientLeft from None

    def _leave(self) -> None:
        if not self._left and not self._finished():
            self._left = True
            self._task.cancel()


def json_headers(length: int) -> tuple[Header, Header]:
    """Return the headers of a JSON reply of ``length`` bytes."""
    return (b"content-type", b"application/json"), (b"content-length", b"%d" % length)


def failure_headers(error: GatewayError) -> dict[bytes, bytes]:
    """Return the headers that tell a client what to do after ``error``."""
    more: dict[bytes, bytes] = {}
    if not error.client_may_retry:
        more[b"x-should-retry"] = b"false"
    if error.retry_after_s is not None:
        more[b"retry-after"] = b"%d" % math.ceil(error.retry_after_s)
        more[b"retry-after-ms"] = b"%d" % round(error.retry_after_s * 1000)
    if isinstance(error, MethodNotAllowed):
        more[b"allow"] = error.allow.encode()
    return more


def too_large(limit: int) -> RequestTooLarge:
    """Return what is said of a body over ``limit`` bytes."""
    return RequestTooLarge(f"the request body is over the limit of {limit} bytes")
