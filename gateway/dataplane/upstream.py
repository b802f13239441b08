"""Speak HTTP/1.1 to one replica over pooled connections, with a time stamp on every arrival.

Rules: a connection goes back to the pool only after a whole answer; whatever else happened, it
is aborted, which is also how trtllm-serve learns that nobody wants the answer any more. Pooled
connections are dropped well before the server's own keep-alive of 5 s, and one that the server
closed all the same is replaced once, unseen; one that is lost later took the request with it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from gateway.core.errors import (
    UpstreamConnectFailed,
    UpstreamDisconnected,
    UpstreamUnresolved,
)
from gateway.core.snapshot import Timeouts
from gateway.dataplane.addresses import Addresses, is_address
from gateway.dataplane.answer import Answer
from gateway.dataplane.upstream_connection import Connection

IDLE_S = 4.0
"""Keep a connection this long unused; trtllm-serve closes it after 5 s."""
_MOST_IDLE = 1024
_STALE_S = 1.0
"""A connection that the server had closed before is found out this soon after a write."""


class Upstream:
    """The connections to one replica, newest first."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        clock: Callable[[], float],
        addresses: Addresses | None = None,
    ) -> None:
        """Connect to ``host:port`` as needed; ``addresses`` knows where that is."""
        self._host = host
        self._addresses = None if is_address(host) else addresses or Addresses()
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
        timeouts: Timeouts,
        wait: Callable[[Answer], Awaitable[None]],
    ) -> Answer:
        """Send a request and return its answer once the status line is there.

        Args:
            path: the route.
            body: JSON, in pieces; none for no body.
            method: of HTTP.
            headers: more header lines, each ended by CR LF.
            timeouts: for how long it may connect, and leave the request unread.
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
                await _exchange(pooled, answer, (head, *body), timeouts.write_s, wait)
            except UpstreamDisconnected:
                # The server's keep-alive ran out as we wrote: it never read the request.
                if answer.begun or self._clock() - before > _STALE_S:
                    raise
            else:
                return answer
            before = self._clock()
        fresh = await self._connect(timeouts.connect_s)
        answer = Answer(fresh, self._loop, self._clock, connect_s=self._clock() - before)
        await _exchange(fresh, answer, (head, *body), timeouts.write_s, wait)
        return answer

    async def _connect(self, connect_s: float) -> Connection:
        try:
            async with asyncio.timeout(connect_s):
                if self._addresses is None:
                    return await self._connect_to(self._host)
                return await self._connect_by_name(self._addresses)
        except TimeoutError:
            unknown = self._addresses is not None and not self._addresses.knows(self._host)
            kind = UpstreamUnresolved if unknown else UpstreamConnectFailed
            raise kind(f"no connection to the replica within {connect_s:g} s") from None
        except OSError as problem:
            raise UpstreamConnectFailed(
                f"the replica cannot be reached: {_reason(problem)}"
            ) from None

    async def _connect_by_name(self, addresses: Addresses) -> Connection:
        """Connect to the first of the host's addresses that can be reached."""
        *others, last = await addresses.of(self._host)
        for address in others:
            with suppress(OSError):
                return await self._connect_to(address)
        return await self._connect_to(last)

    async def _connect_to(self, address: str) -> Connection:
        _, connection = await self._loop.create_connection(
            lambda: Connection(self, self._clock, self._loop), address, self._port
        )
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
    write_s: float,
    wait: Callable[[Answer], Awaitable[None]],
) -> None:
    connection.ask(request, answer, write_s=write_s)
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

    def __init__(
        self, *, clock: Callable[[], float], addresses: Addresses | None = None
    ) -> None:
        """Start with none."""
        self._clock = clock
        self._addresses = addresses or Addresses()
        self._pools: dict[tuple[str, int], Upstream] = {}

    def get(self, host: str, port: int) -> Upstream:
        """Return the pool of one replica."""
        pool = self._pools.get((host, port))
        if pool is None:
            pool = self._pools[host, port] = Upstream(
                host, port, clock=self._clock, addresses=self._addresses
            )
        return pool

    def keep_only(self, addresses: Collection[tuple[str, int]]) -> None:
        """Close the pools of replicas that are no more; answers under way go on."""
        for address in [a for a in self._pools if a not in addresses]:
            self._pools.pop(address).close()
        self._addresses.keep_only({host for host, _ in addresses})

    def close(self) -> None:
        """Close all pools."""
        self.keep_only(())
