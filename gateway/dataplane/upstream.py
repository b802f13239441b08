"""Speak HTTP/1.1 to one replica over pooled connections, with a time stamp on every arrival.

Rules: a connection goes back to the pool only after a whole answer; whatever else happened, it
is aborted, which is also how trtllm-serve learns that nobody wants the answer any more. Pooled
connections are dropped well before the server's own keep-alive of 5 s, and one that the server
closed all the same is replaced once, unseen; one that is lost later took the request with it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import cast

import httptools
from typing_extensions import override

from gateway.core.errors import (
    UpstreamConnectFailed,
    UpstreamDisconnected,
    UpstreamProtocolError,
)
from gateway.dataplane.alarm import Alarm
from gateway.dataplane.answer import Answer

IDLE_S = 4.0
"""Keep a connection this long unused; trtllm-serve closes it after 5 s."""
_MOST_IDLE = 1024
_STALE_S = 1.0
"""A connection that the server had closed before is found out this soon after a write."""
_NOT_HTTP = (
    httptools.HttpParserError,
    httptools.HttpParserCallbackError,
    httptools.HttpParserUpgrade,
)


class Connection(asyncio.Protocol):
    """One TCP connection to a replica; carries one answer at a time."""

    __slots__ = ("_answer", "_clock", "_upstream", "alarm", "idle_at", "lane", "transport")

    def __init__(
        self,
        upstream: "Upstream",
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Belong to ``upstream``'s pool."""
        self._upstream = upstream
        self._clock = clock
        self._answer: Answer | None = None
        self.transport: asyncio.Transport | None = None
        self.lane: Callable[[bytes], int] | None = None
        """Takes what arrives first, and returns how many bytes of it."""
        self.alarm = Alarm(loop)
        """Of whoever waits for what comes over it."""
        self.idle_at = 0.0
        """Loop time when it was last given back."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are of the kind, but not of the class.
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: Sequence[bytes | memoryview], answer: Answer) -> None:
        """Send a request, head and pieces of the body; what comes back goes to ``answer``."""
        assert self.transport is not None  # noqa: S101 - set before it is handed out
        self._answer = answer
        self.transport.writelines(request)

    @override
    def data_received(self, data: bytes) -> None:
        """Hand arriving bytes to the answer, stamped."""
        lane = self.lane
        if lane is not None:
            taken = lane(data)
            if taken == len(data):
                return
            if taken:
                data = data[taken:]
        answer = self._answer
        if answer is None:  # bytes that nobody asked for: not a connection to trust
            self.abort()
            return
        try:
            answer.feed(data, self._clock())
        except _NOT_HTTP:
            answer.fail(UpstreamProtocolError("the replica's reply is not valid HTTP"))
            self.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, or leave the pool."""
        self.alarm.stop()
        answer, self._answer = self._answer, None
        if answer is None:
            self._upstream.forget(self)
        else:
            answer.fail(UpstreamDisconnected("the replica closed the connection early"))

    def release(self, *, reusable: bool) -> None:
        """Give the connection back, or end it."""
        self._answer = self.lane = None
        if reusable and self.transport is not None and not self.transport.is_closing():
            self._upstream.keep(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once: the peer sees it now, whatever is still unsent."""
        if self.transport is not None:
            self.transport.abort()


class Upstream:
    """The connections to one replica, newest first."""

    def __init__(self, host: str, port: int, *, clock: Callable[[], float]) -> None:
        """Connect to ``host:port`` as needed."""
        self._host = host
        self._port = port
        self._clock = clock
        # Asked for once: each time costs a system call (Python checks for a fork).
        self._loop = asyncio.get_running_loop()
        self.loop_time = self._loop.time
        """The clock that limits of waiting run on, in seconds."""
        self._idle: list[Connection] = []
        self._closed = False
        name = f"[{host}]" if ":" in host else host
        self._rest = (
            f" HTTP/1.1\r\nHost: {name}:{port}\r\nContent-Type: application/json\r\n"
        ).encode()

    async def ask(
        self,
        path: str,
        body: Sequence[bytes | memoryview],
        *,
        method: str = "POST",
        headers: bytes,
        connect_s: float,
        wait: Callable[[Answer], Awaitable[None]],
    ) -> Answer:
        """Send a request and return its answer once the status line is there.

        Args:
            path: the route.
            body: JSON, in pieces; none for no body.
            method: of HTTP.
            headers: more header lines, each ended by CR LF.
            connect_s: longest time to connect.
            wait: waits for the status line as long as it may take.

        Raises:
            UpstreamConnectFailed: no connection could be made; the replica saw nothing.
            UpstreamDisconnected: the replica closed it without a status line.
            UpstreamProtocolError: what came is no HTTP.
            UpstreamError: ``wait`` gave up.
        """
        head = b"%b %b%b%bContent-Length: %d\r\n\r\n" % (
            method.encode(),
            path.encode(),
            self._rest,
            headers,
            sum(map(len, body)),
        )
        before = self._clock()
        pooled = self._take()
        if pooled is not None:
            answer = Answer(pooled, self._loop, self._clock, connect_s=None)
            try:
                await _exchange(pooled, answer, (head, *body), wait)
            except UpstreamDisconnected:
                # The server's keep-alive ran out as we wrote: it never read the request.
                if answer.begun or self._clock() - before > _STALE_S:
                    raise
            else:
                return answer
            before = self._clock()
        fresh = await self._connect(connect_s)
        answer = Answer(fresh, self._loop, self._clock, connect_s=self._clock() - before)
        await _exchange(fresh, answer, (head, *body), wait)
        return answer

    async def _connect(self, connect_s: float) -> Connection:
        try:
            async with asyncio.timeout(connect_s):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, self._clock, self._loop), self._host, self._port
                )
        except TimeoutError:
            raise UpstreamConnectFailed(
                f"no connection to the replica within {connect_s:g} s"
            ) from None
        except OSError as problem:
            raise UpstreamConnectFailed(
                f"the replica cannot be reached: {_reason(problem)}"
            ) from None
        return connection

    def _take(self) -> Connection | None:
        oldest = self._loop.time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_at >= oldest:
                return connection
            # The newest is too old, so all are.
            for stale in (connection, *self._idle):
                stale.abort()
            self._idle.clear()
        return None

    def keep(self, connection: Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        if self._closed or len(self._idle) >= _MOST_IDLE:
            connection.abort()
            return
        connection.idle_at = self._loop.time()
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that the server closed while it was idle."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """End the idle connections; those in use end with their answers."""
        self._closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()


async def _exchange(
    connection: Connection,
    answer: Answer,
    request: Sequence[bytes | memoryview],
    wait: Callable[[Answer], Awaitable[None]],
) -> None:
    connection.ask(request, answer)
    try:
        await wait(answer)
    except BaseException:
        answer.close()
        raise


def _reason(problem: OSError) -> str:
    # Not its own text: asyncio writes the address into it, which is not for clients to know.
    number = problem.errno or 0
    return os.strerror(number) if number > 0 else "no connection"


class Upstreams:
    """The pools of all replicas that a worker speaks to."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """Start with none."""
        self._clock = clock
        self._pools: dict[tuple[str, int], Upstream] = {}

    def get(self, host: str, port: int) -> Upstream:
        """Return the pool of one replica."""
        pool = self._pools.get((host, port))
        if pool is None:
            pool = self._pools[host, port] = Upstream(host, port, clock=self._clock)
        return pool

    def keep_only(self, addresses: Collection[tuple[str, int]]) -> None:
        """Close the pools of replicas that are no more; answers under way go on."""
        for address in [a for a in self._pools if a not in addresses]:
            self._pools.pop(address).close()

    def close(self) -> None:
        """Close all pools."""
        self.keep_only(())
