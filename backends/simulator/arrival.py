"""What is the same at the start of every request that computes something."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.simulator.connection import Connection, connection_of
from backends.simulator.errors import check_body
from backends.simulator.faults import Fault, Scope
from backends.simulator.head_faults import fail_before_head
from backends.simulator.refusals import Refusals
from backends.simulator.replies import Receive, Send, read_body
from backends.simulator.replies import Scope as HttpScope
from backends.simulator.requestlog import RequestEntry
from backends.simulator.schema import request_model
from backends.simulator.simulator import Simulator


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that was read."""

    entry: RequestEntry
    connection: Connection
    body: bytes
    fault: Fault | None
    """What its answer will meet after its head."""


async def arrive(
    sim: Simulator, scope: HttpScope, receive: Receive, send: Send, refusals: Refusals
) -> Arrival | None:
    """Read a request; None when it left or when a fault has answered it."""
    entry = sim.requests.open(scope["path"], sim.clock())
    body = await read_body(receive)
    if body is None:
        entry.closed_at = sim.clock()
        return None
    fault = sim.faults.for_request()
    connection = connection_of(scope)
    if fault is None:
        return Arrival(entry, connection, body, None)
    entry.fault = fault.kind
    if fault.scope is not Scope.HEAD:
        return Arrival(entry, connection, body, fault)
    await fail_before_head(fault, refusals, sim, connection, send)
    if connection.lost:
        entry.closed_at = sim.clock()
    else:
        entry.finished_at = sim.clock()
    return None


def read_values(
    sim: Simulator, scope: HttpScope, body: bytes, schema: str
) -> Mapping[str, Any]:
    """Decode and check a body with the model called ``schema``.

    Raises:
        Refused: as `check_body`.
    """
    model = request_model(schema, sim.dialect.era)
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    is_json = not kind or kind == b"application/json" or kind.endswith(b"+json")
    return check_body(body, model, sim.dialect, scope["path"], is_json=is_json)
