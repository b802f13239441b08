"""The data port as one application: inference, the list of models, and health.

All routes are raw ASGI with no middleware, and no other path exists: replicas have control
routes that a client must never reach.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar import Litestar, Request, Response, asgi
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.types import HTTPScope, Receive, Scope, Send

from gateway.core.error_shapes import body_of
from gateway.core.errors import (
    GatewayError,
    GatewayInternal,
    MethodNotAllowed,
    ModelNotFound,
    RouteNotFound,
)
from gateway.core.operation import POSTED, RESPONSE_ID, RETRIEVE, STORED, ErrorShape
from gateway.core.snapshot import FleetSnapshot, ModelView
from gateway.dataplane import gate
from gateway.dataplane.handler import DataPlane, Handler
from gateway.dataplane.opening import BodyOpening, StoredOpening
from gateway.dataplane.portable import PortableClient
from gateway.dataplane.serving import Serve

_MODELS = "/v1/models"
_STORED_PATH = re.compile(RETRIEVE.path.replace(RESPONSE_ID, "([^/]+)"))
_LOG = logging.getLogger(__name__)
Snapshots = Callable[[], FleetSnapshot]
Route = Callable[[HTTPScope], tuple[int, dict[str, Any]]]


def create_data_app(plane: DataPlane) -> "DataApp":
    """Compose the application that a worker serves."""
    models = ModelRoutes(plane.snapshot)
    health = HealthRoutes(plane.snapshot)
    return DataApp(
        {op.path: Handler(op, plane, BodyOpening(op, plane)) for op in POSTED},
        StoredRoutes(plane),
        Litestar(
            [
                _raw(_MODELS, _replying(models.answer), is_mount=True),
                _raw("/health", _replying(health.health)),
                _raw("/live", _replying(health.live)),
                _raw("/ready", _replying(health.ready)),
            ],
            openapi_config=None,
            logging_config=None,
            exception_handlers={NotFoundException: _not_found, Exception: _broken},
        ),
    )


class DataApp:
    """Hands inference straight to its handlers, and all else to Litestar.

    A framework's routing costs as much as the whole choice of a replica, and its wrapper around
    ``send`` is paid for each chunk (docs/decisions/0002-inference-beside-the-framework.md).
    """

    def __init__(
        self, inference: Mapping[str, Handler], stored: "StoredRoutes", rest: Litestar
    ) -> None:
        """Serve ``inference`` by exact path, stored responses by the id in theirs."""
        self._inference = inference
        self._stored = stored
        self._rest = rest

    @property
    def spliced(self) -> "dict[bytes, Serve]":
        """What serves which path to a client that is written to directly."""
        return {path.encode(): handler.serve for path, handler in self._inference.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._rest(scope, receive, send)
        elif (handler := self._inference.get(scope["path"])) is not None:
            await handler(scope, receive, send)
        elif (found := _STORED_PATH.fullmatch(scope["path"])) is not None:
            await self._stored.serve(found[1], scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class ModelRoutes:
    """``GET /v1/models`` and ``/v1/models/{id}``: what this key may name."""

    def __init__(self, snapshot: Snapshots) -> None:
        """List the models of the snapshot of the moment."""
        self._snapshot = snapshot

    def answer(self, scope: HTTPScope) -> tuple[int, dict[str, Any]]:
        """Return status and body."""
        snapshot = self._snapshot()
        _only_get(scope)
        key = gate.admit(dict(scope["headers"]), snapshot)
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        rest = path.removeprefix(_MODELS)
        if rest and not rest.startswith("/"):  # the mount takes every path that begins alike
            raise RouteNotFound(f"there is nothing at {path}")
        name = unquote(rest.strip("/"))
        if not name:
            cards = [
                _card(model.name, model)
                for model in snapshot.models.values()
                if gate.may_use(key, model)
            ]
            return 200, {"object": "list", "data": cards}
        model = snapshot.find(name)
        if model is None or not gate.may_use(key, model):
            raise ModelNotFound(
                f'model "{name}" does not exist; see GET /v1/models', param="model"
            )
        return 200, _card(name, model)


class StoredRoutes:
    """``GET`` and ``DELETE /v1/responses/{id}``."""

    def __init__(self, plane: DataPlane) -> None:
        """Serve them on ``plane``."""
        self._plane = plane
        self._operations = {operation.method: operation for operation in STORED}

    async def serve(
        self, response_id: str, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        client, method = PortableClient(scope, receive, send), scope["method"]
        operation = self._operations.get(method)
        if operation is None:
            allow = ", ".join(self._operations)
            await client.fail(MethodNotAllowed("a stored response", method, allow=allow))
            return
        opening = StoredOpening(operation, self._plane, response_id, scope["query_string"])
        await Handler(operation, self._plane, opening).serve(client)


class HealthRoutes:
    """Whether this gateway lives, should get traffic, and can serve anything."""

    def __init__(self, snapshot: Snapshots) -> None:
        """Judge by the snapshot of the moment."""
        self._snapshot = snapshot

    def live(self, scope: HTTPScope) -> tuple[int, dict[str, Any]]:
        """Say that the process answers."""
        _only_get(scope)
        return 200, {"status": "live"}

    def ready(self, scope: HTTPScope) -> tuple[int, dict[str, Any]]:
        """Say whether a load balancer should send requests here."""
        _only_get(scope)
        draining = self._snapshot().draining
        return (503, {"status": "draining"}) if draining else (200, {"status": "ready"})

    def health(self, scope: HTTPScope) -> tuple[int, dict[str, Any]]:
        """Say which models can be served; 503 when none can."""
        _only_get(scope)
        snapshot = self._snapshot()
        models = {name: len(model.replicas) for name, model in snapshot.models.items()}
        can_serve = any(model.can_serve for model in snapshot.models.values())
        status = 200 if can_serve else 503
        return status, {
            "status": "ok" if status == 200 else "no replica is ready",  # noqa: PLR2004 - HTTP
            "models": {name: {"ready_replicas": count} for name, count in models.items()},
        }


def _only_get(scope: HTTPScope) -> None:
    if scope["method"] not in {"GET", "HEAD"}:
        raise MethodNotAllowed(scope["path"], scope["method"], allow="GET, HEAD")


def _card(name: str, model: ModelView) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": model.created_at,
        "owned_by": "trtllm-gateway",
    }


def _raw(
    path: str,
    app: Callable[[HTTPScope, Receive, Send], Awaitable[None]],
    *,
    is_mount: bool = False,
) -> ASGIRouteHandler:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await app(scope, receive, send)

    return asgi(path, is_mount=is_mount, copy_scope=False)(serve)


def _replying(route: Route) -> Callable[[HTTPScope, Receive, Send], Awaitable[None]]:
    async def serve(scope: HTTPScope, receive: Receive, send: Send) -> None:
        client = PortableClient(scope, receive, send)
        try:
            status, body = route(scope)
        except GatewayError as failure:
            await client.fail(failure)
        else:
            await client.reply(status, msgspec.json.encode(body))

    return serve


def _not_found(
    request: Request[Any, Any, Any],
    error: NotFoundException,  # noqa: ARG001 - the framework's signature
) -> Response[bytes]:
    return _rendered(RouteNotFound(f"there is nothing at {request.url.path}"))


def _broken(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    _LOG.error("%s failed in the gateway itself", request.url.path, exc_info=error)
    return _rendered(GatewayInternal("the gateway failed on this request"))


def _rendered(failure: GatewayError) -> Response[bytes]:
    return Response(
        body_of(failure, ErrorShape.CHUNK),
        status_code=failure.status,
        media_type="application/json",
    )
