"""The server's connection, with a way past uvicorn for the requests that are worth it.

Rule: a `DirectClient` plays the part of uvicorn's own request-and-response cycle, so that
keep-alive, pipelining and shutdown stay uvicorn's, and the limits `protocol`'s. What is used of
uvicorn's insides, whose minor version is pinned, tests hold it to.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from typing_extensions import override
from uvicorn._types import ASGI3Application

from gateway.core.known_head import KnownHead, learn
from gateway.dataplane.client import Client, Header
from gateway.dataplane.direct import DirectClient, lines
from gateway.dataplane.protocol import GuardedProtocol, Stage

Serve = Callable[[Client], Coroutine[Any, Any, None]]
_MOST_WAITING = 16
"""Requests that a client may send ahead; with more, it is not read from."""
_MOST_LEARNED = 3
"""Heads in a row of which none came again, after which the client's are no longer learned."""


class SpliceProtocol(GuardedProtocol):
    """Serves requests to some paths with a client that is written to directly."""

    def __init__(
        self,
        *,
        spliced: Mapping[bytes, Serve],
        **others: Any,  # noqa: ANN401 - of uvicorn and of the protocol
    ) -> None:
        """Serve the paths of ``spliced`` by their function, all others by ASGI."""
        super().__init__(**others)
        self._spliced = spliced
        self._read: DirectClient | None = None
        """Whose body is being read; None: that of a request which uvicorn serves itself."""
        self._dated: list[Header] | None = None
        self._dated_lines = b""
        self._known: KnownHead | None = None
        self._known_serve: Serve | None = None
        self._to_learn = _MOST_LEARNED
        self._begun = b""
        """What came with the first byte of a request, until its head is complete."""

    @override
    def data_received(self, data: bytes) -> None:
        """Take a whole request whose head is known, or have it read."""
        between = self._stage is Stage.BETWEEN
        if between and self._known is not None and self._take_known(self._known, data):
            return
        self._begun = data if between else b""
        super().data_received(data)

    def _take_known(self, known: KnownHead, data: bytes) -> bool:
        """Serve the one request that ``data`` is; tell whether it was one of those."""
        found = known.of(data)
        if found is None or self.pipeline or not self.cycle.response_complete:
            return False
        length, body_at = found
        if len(data) - body_at != int(length):
            return False
        assert self._known_serve is not None  # noqa: S101 - set with what is known
        self.due, self._read, self._to_learn = None, None, _MOST_LEARNED
        client = DirectClient(
            self,
            "POST",
            known.headers(length),
            loop=self.loop,
            keep_alive=not self.watch.ending,
            expects_continue=False,
        )
        client.body_parts.came(data[body_at:])
        client.body_parts.ended()
        self.cycle = _Cycle(client, self._known_serve)  # type: ignore[assignment]
        self._start_asgi_task(self.cycle, self.app)
        return True

    def _learn(self, begun: bytes, serve: Serve) -> None:
        """Know the head that was just read when it comes again; ``begun`` began with it."""
        if self._to_learn and begun and self.parser.should_keep_alive():
            self._to_learn -= 1
            self._known_serve = serve
            self._known = learn(begun, self.headers, most=self._limits.rules.head_bytes)

    @property
    def default_lines(self) -> bytes:
        """Header lines that every answer carries: the date."""
        dated = self.server_state.default_headers  # another list each second
        if dated is not self._dated:
            self._dated, self._dated_lines = dated, lines(dated)
        return self._dated_lines

    def pause_reading(self) -> None:
        """Read no more from the client."""
        self.flow.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless too many requests wait.

        Reading is how it shows that the client left: uvicorn stops at the first that waits.
        """
        if len(self.pipeline) > _MOST_WAITING:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    async def drained(self) -> None:
        """Wait until the client has read what was sent, or is gone."""
        await self.flow.drain()

    def answered(self) -> None:
        """Take up the next request."""
        self.on_response_complete()

    @override
    def head_came(self) -> None:
        """Make a client to be written to, or leave the request to uvicorn."""
        begun, self._begun = self._begun, b""  # it begins with no other head
        serve = self._spliced.get(self.url)
        # An answer to HEAD has no body, one to HTTP/1.0 no chunks: the server knows how.
        if (
            serve is None
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
        ):
            self._read = None
            super().head_came()
            if self.pipeline:
                self.resume_reading()
            return
        self._learn(begun, serve)
        client = self._read = DirectClient(
            self,
            "POST",
            self.headers,
            loop=self.loop,
            keep_alive=self.parser.should_keep_alive() and not self.watch.ending,
            expects_continue=self.expect_100_continue,
        )
        before = self.cycle
        # Typed as uvicorn's own, whose part it plays.
        self.cycle = _Cycle(client, serve)  # type: ignore[assignment]
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # pipelined
            self.pipeline.appendleft((self.cycle, self.app))
            self.resume_reading()

    @override
    def _start_asgi_task(self, cycle: Any, app: ASGI3Application) -> None:
        """Begin to serve, now or when the answers before are out."""
        if not isinstance(cycle, _Cycle):
            super()._start_asgi_task(cycle, app)
            return
        self.front = cycle  # type: ignore[assignment]
        # The transport tells once: it may have been in the answer before.
        cycle.client.paused = self.flow.write_paused
        task = self.loop.create_task(cycle.serve(cycle.client))
        cycle.client.task = task
        self.tasks.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        front = self._direct_front()
        if front is not None and front.task is task and not (front.finished or front.gone):
            front.abandon()  # it got no whole answer, and must not take it for one

    def _direct_front(self) -> DirectClient | None:
        """Return the client that is being served, if it is one of ours."""
        return self.front.client if isinstance(self.front, _Cycle) else None

    @override
    def on_response_complete(self) -> None:
        """Begin with the next request, and read on if few wait."""
        super().on_response_complete()
        if self.pipeline:
            self.resume_reading()

    @override
    def body_came(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        if self._read is None:
            super().body_came(body)
        elif not self._read.finished:
            self._read.body_parts.came(body)

    @override
    def message_came(self) -> None:
        """Note the end of the body."""
        if self._read is None:
            super().message_came()
        elif not self._read.finished:
            self._read.body_parts.ended()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever is served, and let go of all."""
        super().connection_lost(exc)
        # What knows this connection and is known to it would wait for the garbage collector.
        self._read = self.front = None
        self.pipeline.clear()
        self.cycle = None  # type: ignore[assignment]  # as before the first request

    @override
    def pause_writing(self) -> None:
        """Slow whoever is served down."""
        super().pause_writing()
        front = self._direct_front()
        if front is not None:
            front.writing_paused()

    @override
    def resume_writing(self) -> None:
        """Let whoever is served go on."""
        super().resume_writing()
        front = self._direct_front()
        if front is not None:
            front.writing_resumed()


class _Cycle:
    """Plays the part of uvicorn's own, as far as its connection looks at it."""

    message_event = asyncio.Event()
    """Set by uvicorn to wake its own cycle; nobody waits for this one."""

    def __init__(self, client: DirectClient, serve: Serve) -> None:
        # Not uvicorn's own: nothing of what it makes for its answer is needed.
        self.client = client
        self.serve = serve

    @property
    def response_started(self) -> bool:
        return self.client.committed

    @property
    def response_complete(self) -> bool:
        return self.client.finished

    @property
    def waiting_for_100_continue(self) -> bool:
        return self.client.body_parts.unasked

    @property
    def disconnected(self) -> bool:
        return self.client.gone

    @disconnected.setter
    def disconnected(self, value: bool) -> None:
        """Set to True when the connection was lost, or the request given up."""
        if value and not self.client.gone:
            self.client.lost()

    @property
    def keep_alive(self) -> bool:
        return self.client.keep_alive

    @keep_alive.setter
    def keep_alive(self, value: bool) -> None:
        """Set to False by uvicorn as it shuts down."""
        self.client.keep_alive = value
