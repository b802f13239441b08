"""Faults of a generation request before its status line."""

import asyncio

from backends.simulator.connection import Connection
from backends.simulator.errors import Refused, flat_error
from backends.simulator.faults import Fault
from backends.simulator.refusals import Refusals
from backends.simulator.replies import Send, send_body
from backends.simulator.simulator import Simulator

INTERNAL = "CUDA error: an illegal memory access was encountered"
"""A text that no client caused."""
BLAME = "require temperature >= 0, got temperature=-1"
"""A text that only a client's mistake should bring."""


async def fail_before_head(
    fault: Fault, refusals: Refusals, sim: Simulator, connection: Connection, send: Send
) -> None:
    """Carry out a fault of scope ``head``; return when nothing more will be sent."""
    match fault.kind:
        case "hang":
            await _until_lost(connection)
        case "eof":
            connection.close()
            await _until_lost(connection)
        case "internal_error":
            await _refuse(refusals.of_fault(INTERNAL), send)
        case "refuse":
            await _refuse(refusals.of_fault(BLAME), send)
        case "null":
            await send_body(send, *refusals.death)
            sim.interrupt()
        case _:
            code = fault.code or 500
            message = "Internal Server Error" if code == 500 else "fault http_error"  # noqa: PLR2004 - the status
            body = flat_error(message, kind="InternalError", code=code)
            await _refuse(refusals.shape(Refused(code, body)), send)


async def _refuse(refused: Refused, send: Send) -> None:
    await send_body(send, refused.status, refused.body)


async def _until_lost(connection: Connection) -> None:
    gone = asyncio.Event()
    connection.watch(gone.set)
    if not connection.lost:
        await gone.wait()
