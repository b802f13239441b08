"""Faults of a generation request before its status line."""

import asyncio

from backends.simulator.connection import Connection
from backends.simulator.errors import flat_error
from backends.simulator.faults import Fault
from backends.simulator.replies import Send, send_body
from backends.simulator.simulator import Simulator

INTERNAL = "CUDA error: an illegal memory access was encountered"
"""A text that no client caused."""


async def fail_before_head(
    fault: Fault, sim: Simulator, connection: Connection, send: Send
) -> None:
    """Carry out a fault of scope ``head``; return when nothing more will be sent."""
    match fault.kind:
        case "hang":
            await _until_lost(connection)
        case "eof":
            connection.close()
            await _until_lost(connection)
        case "internal_error":
            await send_body(send, 400, flat_error(INTERNAL))
        case "null":
            await send_body(send, 200, b"null")
            sim.interrupt()
        case _:
            code = fault.code or 500
            message = "Internal Server Error" if code == 500 else "fault http_error"  # noqa: PLR2004 - the status
            await send_body(send, code, flat_error(message, kind="InternalError", code=code))


async def _until_lost(connection: Connection) -> None:
    gone = asyncio.Event()
    connection.watch(gone.set)
    if not connection.lost:
        await gone.wait()
