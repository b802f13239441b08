"""Carry one replica's answer to the client, event by event, while a meter looks on.

Only whole events go out: half an event would reach the client's JSON parser, not its error
handling. Nothing goes out before the first content, and a normal end only after the whole
answer (`core.stream`).
"""

import asyncio
from collections.abc import Callable

from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.patience import Patience
from gateway.core.stream import AnswerStream
from gateway.dataplane.answer import Answer
from gateway.dataplane.client import Client

_LINGER_S = 1.0
"""How long to wait, after ``[DONE]``.

For the end of the body that makes the connection reusable.
"""


async def relay(
    answer: Answer,
    stream: AnswerStream,
    client: Client,
    patience: Patience,
    on_first: Callable[[float], None],
) -> None:
    """Stream until the answer is complete and the client has it.

    Args:
        answer: an answer of status 200; stays the caller's to close.
        stream: reads it.
        client: gets it.
        patience: how long to wait for what.
        on_first: called once, with the arrival of the first content, when it was handed on.

    Raises:
        UpstreamError: the answer broke off, was no answer, or took too long; what had arrived
        by then was sent.
    """
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
    await _settle(answer, loop.time() + _LINGER_S)


async def collect(answer: Answer, client: Client, patience: Patience, *, limit: int) -> bytes:
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


async def waited(client: Client, patience: Patience, *, started: bool) -> None:
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


async def _settle(answer: Answer, until: float) -> None:
    """Read on to the end of the body.

    Whatever happens here, the client has its whole answer: even a cancellation, as this worker
    ends, only means that the connection will not be used again.
    """
    try:
        while await answer.read(until) is not None:
            pass
    except (UpstreamError, TimeoutError, asyncio.CancelledError):
        return
