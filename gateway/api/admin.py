"""The application of the admin port, put together from its parts.

Rule: it holds no state and reads no configuration; all it knows is given to `create_admin_app`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import SkipValidation
from litestar.types import ControllerRouterHandler

from gateway.api.access import Access, Role, needs
from gateway.api.admin_models import Models
from gateway.api.admin_operations import Operations
from gateway.api.admin_planning import Host, Planning
from gateway.api.admin_replicas import RegisteredReplicas, Replicas
from gateway.api.health import MetricsRenderer, ReadinessCheck, healthz, metrics, readyz
from gateway.api.problems import EXCEPTION_HANDLERS, NotAllowed
from gateway.fleet.fleet import Fleet

_MAX_BODY_BYTES = 1_048_576

EffectiveConfig = Callable[[], dict[str, Any]]
"""The configuration in force, as JSON values, secrets masked."""
Restart = Callable[[], Awaitable[str | None]]
"""Begins to start anew with what the configuration says now; returns why not, if so."""


@dataclass(frozen=True, slots=True)
class Views:
    """What the admin port shows that is not the fleet's."""

    metrics: MetricsRenderer
    readiness: ReadinessCheck
    config: EffectiveConfig
    restart: Restart
    host: Host


def create_admin_app(fleet: Fleet, access: Access, views: Views) -> Litestar:
    """Compose the admin API; `fleet` does what is asked for, ``access`` guards every route."""
    given = (fleet, views.host, views.readiness, views.metrics, views.config, views.restart)
    return Litestar(
        route_handlers=_ROUTES,
        dependencies=dict(zip(_DEPENDENCIES, map(_given, given), strict=True)),
        guards=[access],
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=_MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
    )


@get("/admin/config", opt=needs(Role.VIEWER), tags=["configuration"])
async def effective_config(
    show_config: NamedDependency[SkipValidation[EffectiveConfig]],
) -> dict[str, Any]:
    """Show the configuration in force, secrets masked."""
    return show_config()


@post("/admin/config/reload", opt=needs(Role.ADMIN), status_code=202, tags=["configuration"])
async def reload(restart: NamedDependency[SkipValidation[Restart]]) -> Response[dict[str, str]]:
    """Start anew with the configuration and the code that are there now; no stream is cut.

    A configuration that does not hold is refused, and all goes on as before.
    """
    problem = await restart()
    if problem is not None:
        raise NotAllowed(409, "not-restarted", problem)
    return Response({"status": "restarting"}, status_code=202)


@get("/openapi.json", opt=needs(Role.VIEWER), include_in_schema=False)
async def openapi() -> dict[str, Any]:
    """Describe this API."""
    return _description()


_ROUTES: tuple[ControllerRouterHandler, ...] = (
    Replicas,
    RegisteredReplicas,
    Models,
    Operations,
    Planning,
    effective_config,
    reload,
    healthz,
    readyz,
    metrics,
    openapi,
)

_DEPENDENCIES = ("fleet", "host", "readiness", "render_metrics", "show_config", "restart")
"""What handlers ask for by name, in the order in which `create_admin_app` gives it."""

_OPENAPI = OpenAPIConfig(
    title="trtllm-gateway admin API",
    version=version("trtllm-gateway"),
    use_handler_docstrings=True,
    security=[{"token": []}],
    components=Components(
        security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}
    ),
)


def _given(value: object) -> Provide:
    return Provide(lambda: value, use_cache=False, sync_to_thread=False)


@cache
def _description() -> dict[str, Any]:
    """Describe the routes, from an application of its own.

    The served one must not have the framework's pages for it: they load scripts from elsewhere.
    """
    nothing = {name: _given(None) for name in _DEPENDENCIES}
    app = Litestar(_ROUTES, dependencies=nothing, openapi_config=_OPENAPI, logging_config=None)
    return app.openapi_schema.to_schema()
