"""The entry of the data plane: from an ASGI call to a request, from any end to one answer.

Mounted raw, with no middleware: each stage is a direct call, and one frame owns the request
from its first byte to its facts being recorded, however it ends.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from litestar.types import HTTPScope, Receive, Send

from gateway.core.errors import (
    GatewayError,
    GatewayInternal,
    MethodNotAllowed,
    ShuttingDown,
)
from gateway.core.operation import Operation
from gateway.core.outcome import Outcome, RequestFacts
from gateway.core.snapshot import FleetSnapshot, KeyView
from gateway.dataplane import gate
from gateway.dataplane.client import Client, ClientLeft
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.pipeline import Pipeline
from gateway.dataplane.portable import PortableClient
from gateway.telemetry.tracer import RequestTrace, Tracer

_CLIENT_LEFT = 499
_OK = 200
_RETRY_AFTER_S = 1.0
_LOG = logging.getLogger(__name__)


class Recorder(Protocol):
    """Takes the facts of requests: metrics and the log."""

    def admitted(self, facts: RequestFacts) -> None:
        """Count a request as in flight until `record` gets the same facts."""
        ...

    def record(self, facts: RequestFacts, trace: RequestTrace | None) -> None:
        """Record a request that ended, and end its span; once for each, refused ones too."""
        ...


@dataclass(frozen=True, slots=True)
class DataPlane:
    """What every request of a worker shares."""

    snapshot: Callable[[], FleetSnapshot]
    pipeline: Pipeline
    recorder: Recorder
    tracer: Tracer
    clock: Callable[[], float]
    """Monotonic seconds, as fine as there is."""
    wall_clock: Callable[[], float]
    """Unix seconds."""
    new_id: Callable[[], str]
    """Random hex digits for ids."""
    running: set[asyncio.Task[Any] | None]
    """Tasks of the requests that are being served."""


class Opening(Protocol):
    """Reads what a client asks for."""

    async def __call__(
        self, client: Client, snapshot: FleetSnapshot, key: KeyView, facts: RequestFacts
    ) -> Exchange:
        """Return the checked request; ``facts`` learn its model and when it was read.

        Raises:
            GatewayError: it is none that can be served.
            ClientLeft: it never came to its end.
        """
        ...


class Handler:
    """Serves one operation, as an ASGI application or to a client of any other kind."""

    def __init__(self, operation: Operation, plane: DataPlane, opening: Opening) -> None:
        """Serve ``operation`` on ``plane``; ``opening`` reads what is asked for."""
        self._operation = operation
        self._plane = plane
        self._open = opening

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request of an ASGI server."""
        await self.serve(PortableClient(scope, receive, send))

    async def serve(self, client: Client) -> None:
        """Answer one request; raises only the cancellation that ends the server."""
        plane = self._plane
        facts = RequestFacts(started_at=plane.clock(), operation=self._operation.name)
        facts.request_id = gate.request_id(client.asked) or f"req-{plane.new_id()}"
        client.errors = self._operation.errors
        client.headers = [(b"x-request-id", facts.request_id.encode())]
        trace = plane.tracer.begin(client.sent, facts)
        plane.running.add(client.task)
        try:
            await self._serve(client, facts, trace)
            facts.outcome, facts.code = Outcome.OK, _OK
        except ClientLeft:
            facts.code = client.status or _CLIENT_LEFT
        except GatewayError as failure:
            await _tell(client, failure, facts)
        except asyncio.CancelledError:
            # Only the end of this worker cancels a request whose client is still there.
            ends = ShuttingDown("this gateway is shutting down", retry_after_s=_RETRY_AFTER_S)
            await _tell(client, ends, facts)
        except Exception:  # noqa: BLE001 - the last line of defence: the client gets an answer
            _LOG.exception("request %s failed in the gateway itself", facts.request_id)
            await _tell(client, GatewayInternal("the gateway failed on this request"), facts)
        finally:
            plane.running.discard(client.task)
            facts.ended_at = plane.clock()
            plane.recorder.record(facts, trace)

    async def _serve(
        self, client: Client, facts: RequestFacts, trace: RequestTrace | None
    ) -> None:
        plane, operation = self._plane, self._operation
        snapshot = plane.snapshot()
        if client.method != operation.method:
            raise MethodNotAllowed(operation.path, client.method, allow=operation.method)
        key = gate.admit(client.asked, snapshot, operation.key_header)
        facts.key_id, facts.tenant = key.id, key.tenant
        exchange = await self._open(client, snapshot, key, facts)
        exchange.trace = trace
        plane.recorder.admitted(facts)
        async with client.leaving(write_s=exchange.model.timeouts.client_write_s):
            await plane.pipeline.serve(exchange)


async def _tell(client: Client, failure: GatewayError, facts: RequestFacts) -> None:
    begun = client.committed
    facts.error_code = failure.code
    facts.rejection = failure.rejection
    facts.outcome = Outcome.STREAM_BROKEN if client.content_sent else failure.outcome
    await client.fail(failure)
    facts.code = _OK if begun else failure.status
