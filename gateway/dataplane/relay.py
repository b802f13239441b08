"""Carry one replica's answer to the client, event by event, while a meter looks on.

Only whole events go out: half an event would reach the client's JSON parser, not its error
handling. Nothing goes out before the first content, and a normal end only after the whole
answer (`core.stream`). `splice` does the same without a step in between.
"""

import asyncio
from typing import Protocol

from gateway.core.answers import StreamReader
from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.patience import Patience
from gateway.dataplane.answer import Answer
from gateway.dataplane.client import OnFirst

LINGER_S = 1.0
"""How long to wait, after ``[DONE]``.

For the end of the body that makes the connection reusable.
"""


class Waiting(Protocol):
    """A client that waits."""

    async def ping(self) -> None:
        """Show it that its request is alive."""
        ...


class Sink(Waiting, Protocol):
    """A client that gets a stream."""

    content_sent: bool

    async def stream(self, events: bytes) -> None:
        """Send whole events."""
        ...

    async def finish(self) -> None:
        """End the stream."""
        ...


async def relay(
    answer: Answer, stream: StreamReader, client: Sink, patience: Patience, on_first: OnFirst
) -> None:
    """Stream to ``client``; see `Client.relay`."""
    loop = asyncio.get_running_loop()
    while not stream.done:
        until = patience.until_next(loop.time()) if stream.started else patience.until_first()
        try:
            arrival = await answer.read(until)
        except TimeoutError:
            await waited(client, patience, started=stream.started)
            continue
        if arrival is None:
            stream.closed()
            break
        events = stream.feed(arrival[1], arrival[0])
        if events:
            first = not client.content_sent
            await client.stream(events)
            if first and stream.meter.first_at is not None:
                on_first(stream.meter.first_at)
        if stream.failure is not None:
            raise stream.failure
    await client.finish()
    await settle(answer, loop.time() + LINGER_S)


async def collect(answer: Answer, client: Waiting, patience: Patience, *, limit: int) -> bytes:
    """Return an answer's body once it is whole.

    Raises:
        UpstreamProtocolError: it is longer than ``limit`` bytes.
        UpstreamError: the answer broke off, or took too long.
    """
    parts: list[bytes] = []
    size = 0
    while size <= limit:
        try:
            arrival = await answer.read(patience.until_first())
        except TimeoutError:
            await waited(client, patience, started=False)
            continue
        if arrival is None:
            return b"".join(parts)
        parts.append(arrival[1])
        size += len(arrival[1])
    raise UpstreamProtocolError(f"the replica's reply is longer than {limit} bytes")


async def waited(client: Waiting, patience: Patience, *, started: bool) -> None:
    """Act on a wait that brought nothing: give up, show a sign of life, or let it go on.

    Raises:
        UpstreamError: it lasted too long.
    """
    at = asyncio.get_running_loop().time()
    fault = patience.fault(at, started=started)
    if fault is not None:
        raise fault
    if not started and at >= patience.ping_at:
        patience.pinged(at)
        await client.ping()


async def settle(answer: Answer, until: float) -> None:
    """Read on to the end of the body.

    Whatever happens here, the client has its whole answer: even a cancellation, as this worker
    ends, only means that the connection will not be used again.
    """
    try:
        while await answer.read(until) is not None:
            pass
    except (UpstreamError, TimeoutError, asyncio.CancelledError):
        return
