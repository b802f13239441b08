"""Sends an answer that is not streamed, or what a fault makes of it."""

import asyncio
from collections.abc import Callable

from backends.simulator.answer_fault import AnswerFault
from backends.simulator.connection import Connection
from backends.simulator.errors import Refused
from backends.simulator.frame_text import change_reply, falsified
from backends.simulator.outbox import Outbox
from backends.simulator.replies import JSON, Send, send_body
from backends.simulator.stream_faults import SLOW_CHUNK_S

_OF_THE_PROCESS = {"crash", "fatal", "fatal_exit"}
_CUT_SHORT = {"cut", "half_event", "end_early"}


async def send_when_ready(
    send: Send,
    connection: Connection,
    outbox: Outbox,
    faulty: AnswerFault | None,
    *,
    body: Callable[[], bytes],
    failed: Callable[[str], Refused],
) -> bool:
    """Wait for the end of ``outbox``, then send ``body``; return whether it was sent whole.

    ``failed`` gives the reply to a failure of the engine.
    """
    while not outbox.ended:
        await outbox.take()
    if connection.lost:
        return False
    failure = outbox.failure
    if faulty is not None and faulty.fault.kind == "engine_error":
        failure = "fault engine_error"
    if faulty is not None and faulty.fault.kind in _OF_THE_PROCESS:
        await faulty.strike()
        return False
    if failure is not None:
        refused = failed(failure)
        await send_body(send, refused.status, refused.body)
        return False
    if faulty is None:
        await send_body(send, 200, body())
    else:
        await _send_faulty(faulty, body(), send, connection)
    return True


async def _send_faulty(
    answer: AnswerFault, body: bytes, send: Send, connection: Connection
) -> None:
    """Send as the fault has it; kinds that only streams have change nothing."""
    fault = answer.fault
    if fault.kind in {"stall", "slow_chunks"}:
        await answer.lost(fault.s if fault.kind == "stall" else fault.s or SLOW_CHUNK_S)
    if fault.kind in _CUT_SHORT:
        part = body[: fault.at_byte if fault.at_byte is not None else len(body) // 2]
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", JSON)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0)
        (connection.reset if fault.kind == "cut" else connection.close)()
        await answer.lost()
        return
    if fault.kind == "garbage":
        body = body[: len(body) // 2]
    if fault.kind == "changed_token":
        body = change_reply(body, falsified)
    await send_body(send, 200, body)
