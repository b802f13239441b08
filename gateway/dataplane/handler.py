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

from gateway.core.body import cut, cut_steps
from gateway.core.chunks import Identity
from gateway.core.dialect import with_max_tokens
from gateway.core.errors import (
    GatewayError,
    GatewayInternal,
    MethodNotAllowed,
    RequestTooLarge,
    ShuttingDown,
)
from gateway.core.operation import Operation
from gateway.core.outcome import Outcome, RequestFacts
from gateway.core.request import model_name, parse_steps
from gateway.core.salting import cache_salt
from gateway.core.snapshot import FleetSnapshot, KeyView, Limits
from gateway.core.steps import finish
from gateway.core.windows import WINDOW_BYTES
from gateway.dataplane import gate
from gateway.dataplane.client import Client, ClientLeft
from gateway.dataplane.exchange import Exchange
from gateway.dataplane.pacing import paced
from gateway.dataplane.pipeline import Pipeline
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


class Handler:
    """Serves one operation as an ASGI application."""

    def __init__(self, operation: Operation, plane: DataPlane) -> None:
        """Serve ``operation`` on ``plane``."""
        self._operation = operation
        self._plane = plane
        self._seen: FleetSnapshot | None = None
        self._ceiling = Limits()

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request; raises only the cancellation that ends the server."""
        plane = self._plane
        facts = RequestFacts(started_at=plane.clock(), operation=self._operation.name)
        client = Client(scope, receive, send)
        facts.request_id = gate.request_id(client.asked) or f"req-{plane.new_id()}"
        client.headers = [(b"x-request-id", facts.request_id.encode())]
        trace = plane.tracer.begin(scope["headers"], facts)
        plane.running.add(client.task)
        try:
            await self._serve(scope, client, facts, trace)
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
        self,
        scope: HTTPScope,
        client: Client,
        facts: RequestFacts,
        trace: RequestTrace | None,
    ) -> None:
        plane = self._plane
        snapshot = plane.snapshot()
        if scope["method"] != "POST":
            raise MethodNotAllowed(self._operation.path, scope["method"], allow="POST")
        key = gate.admit(client.asked, snapshot)
        facts.key_id, facts.tenant = key.id, key.tenant
        body = await client.body(
            declared=gate.declared_bytes(client.asked), limit=self._most(snapshot).body_bytes
        )
        facts.body_read_at = plane.clock()
        exchange = await self._exchange(body, snapshot, key, client, facts)
        exchange.trace = trace
        plane.recorder.admitted(facts)
        async with client.leaving(write_s=exchange.model.timeouts.client_write_s):
            await plane.pipeline.serve(exchange)

    def _most(self, snapshot: FleetSnapshot) -> Limits:
        if snapshot is not self._seen:
            self._seen, self._ceiling = snapshot, gate.ceiling(snapshot)
        return self._ceiling

    async def _exchange(
        self,
        body: bytes,
        snapshot: FleetSnapshot,
        key: KeyView,
        client: Client,
        facts: RequestFacts,
    ) -> Exchange:
        depth, short = self._most(snapshot).depth, len(body) <= WINDOW_BYTES
        # A short one is not worth a pause.
        sent = cut(body, depth=depth) if short else await paced(cut_steps(body, depth=depth))
        name = model_name(sent.fields)
        model = gate.find_model(snapshot, name, key)
        facts.model = model.name
        limits = model.limits
        if len(body) > limits.body_bytes:
            raise RequestTooLarge(
                f"the request body is over this model's limit of {limits.body_bytes} bytes"
            )
        salt = cache_salt(snapshot, key.tenant)
        steps = parse_steps(self._operation, sent, limits, scopes=key.fields, cache_salt=salt)
        request = finish(steps) if short else await paced(steps)
        if limits.default_max_tokens is not None:
            request = with_max_tokens(request, limits.default_max_tokens)
        facts.stream, facts.choices = request.stream, request.choices
        identity = Identity(
            self._operation,
            stream=request.stream,
            answer_id=self._operation.id_prefix + self._plane.new_id(),
            created=int(self._plane.wall_clock()),
            model=name,
        )
        return Exchange(request, model, client, facts, identity, None, snapshot.expose_replica)


async def _tell(client: Client, failure: GatewayError, facts: RequestFacts) -> None:
    begun = client.committed
    facts.error_code = failure.code
    facts.rejection = failure.rejection
    facts.outcome = Outcome.STREAM_BROKEN if client.content_sent else failure.outcome
    await client.fail(failure)
    facts.code = _OK if begun else failure.status
