"""``/healthz``, ``/readyz``, ``/metrics``: what a host, a load balancer and Prometheus ask."""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.api.access import PUBLIC, Role, needs

MetricsRenderer = Callable[[str], Awaitable[tuple[bytes, str]]]
"""``Accept`` -> body and content type."""


class Readiness(msgspec.Struct, frozen=True):
    """Whether the gateway can do its work, and what is in the way."""

    ready: bool
    reasons: tuple[str, ...] = ()
    run: str = ""
    """Id of this start: another one after a restart."""


ReadinessCheck = Callable[[], Readiness]
RendererHere = NamedDependency[SkipValidation[MetricsRenderer]]
ReadinessHere = NamedDependency[SkipValidation[ReadinessCheck]]


@get("/healthz", opt=PUBLIC, tags=["health"])
async def healthz(readiness: ReadinessHere) -> dict[str, str]:
    """Answer as long as the supervisor's loop turns; ``run`` changes with each start."""
    return {"status": "ok", "run": readiness().run}


@get("/readyz", opt=PUBLIC, tags=["health"])
async def readyz(readiness: ReadinessHere) -> Response[Readiness]:
    """Answer 200 when the gateway serves, 503 while it starts, ends or has no worker."""
    now = readiness()
    return Response(now, status_code=200 if now.ready else 503)


@get("/metrics", opt=needs(Role.METRICS), tags=["health"])
async def metrics(
    request: Request[object, object, State], render_metrics: RendererHere
) -> Response[bytes]:
    """Render every process's metrics, as OpenMetrics where that is asked for."""
    body, content_type = await render_metrics(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})
