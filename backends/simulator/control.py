"""The simulator's own routes under ``/_sim``, which the original does not have.

A gateway forwards none of them: they are for tests and demonstrations, at the replica itself.
"""

import json

from backends.simulator.faults import Fault, UnknownFault, make_fault
from backends.simulator.frames import encode
from backends.simulator.replies import Receive, Scope, Send, read_body, send_body
from backends.simulator.simulator import Simulator


async def list_requests(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /_sim/requests``: recent requests, oldest first, and the clock."""
    await send_body(send, 200, encode({"now": sim.clock(), "items": sim.requests.entries}))


async def list_faults(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /_sim/faults``."""
    await send_body(send, 200, encode([_spell(f) for f in sim.faults.faults]))


async def replace_faults(sim: Simulator, _scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``POST /_sim/faults``: the body's list replaces all."""
    try:
        asked = json.loads(await read_body(receive) or b"")
        if not isinstance(asked, list) or not all(isinstance(f, dict) for f in asked):
            raise UnknownFault('expected a JSON list of objects such as {"kind": "cut"}')
        faults = [make_fault(f) for f in asked]
    except ValueError as wrong:
        await send_body(send, 400, encode({"error": str(wrong)}))
        return
    sim.replace_faults(faults)
    await list_faults(sim, _scope, receive, send)


async def clear_faults(sim: Simulator, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``DELETE /_sim/faults``."""
    sim.replace_faults([])
    await list_faults(sim, scope, receive, send)


async def engine_state(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /_sim/engine``: its load, and whether it keeps up with the clock."""
    late = sim.driver.lateness
    state = {
        "active": sim.engine.active,
        "queued": sim.engine.queued,
        "healthy": sim.healthy,
        "late_steps": late.late_steps,
        "worst_late_s": late.worst_s,
        "dropped_s": late.dropped_s,
    }
    await send_body(send, 200, encode(state))


def _spell(fault: Fault) -> dict[str, object]:
    keys = ("kind", "share", "after_tokens", "at_byte", "s", "code", "seed")
    return {key: value for key in keys if (value := getattr(fault, key)) is not None}
