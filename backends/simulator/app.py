"""Routes of each era, as a raw ASGI application.

Unknown paths and wrong methods answer what FastAPI answers. The lifespan carries the engine: it
runs from the start of serving until the last answer is out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from backends.simulator import control, counting, embeddings, probes, response_routes
from backends.simulator.endpoints import CHAT, COMPLETIONS, MESSAGES, RESPONSES
from backends.simulator.frames import encode
from backends.simulator.generate import generate
from backends.simulator.replies import HTML, Receive, Scope, Send, send_body
from backends.simulator.request_fields import ALL
from backends.simulator.settings import EMBEDDINGS, GENERATE, TASKS
from backends.simulator.simulator import Simulator

Handler = Callable[[Simulator, Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route, and the eras and tasks that have it."""

    method: str
    path: str
    handler: Handler
    eras: str = ALL
    tasks: tuple[str, ...] = (GENERATE,)


ROUTES = (
    Route("GET", "/health", probes.health, tasks=TASKS),
    Route("GET", "/health_generate", probes.health_generate),
    Route("GET", "/version", probes.version, tasks=TASKS),
    Route("GET", "/v1/models", probes.models, tasks=TASKS),
    Route("GET", "/metrics", probes.metrics),
    Route("GET", "/perf_metrics", probes.perf_metrics, "BCE"),
    Route("GET", "/energy_metrics", probes.energy_metrics, "E"),
    Route("GET", "/steady_clock_offset", probes.clock_offset, "BCE"),
    Route("POST", "/steady_clock_offset", probes.set_clock_offset, "BCE"),
    Route("POST", "/kv_cache_events", probes.kv_cache_events),
    Route("POST", "/v1/completions", partial(generate, endpoint=COMPLETIONS)),
    Route("POST", "/v1/chat/completions", partial(generate, endpoint=CHAT)),
    Route("POST", "/v1/responses", partial(generate, endpoint=RESPONSES), "BCE"),
    Route("POST", "/v1/messages", partial(generate, endpoint=MESSAGES), "E"),
    Route("POST", "/v1/messages/count_tokens", counting.count_message, "E"),
    Route("POST", "/v1/embeddings", embeddings.embed, "E", (EMBEDDINGS,)),
    Route("POST", "/release_memory", probes.no_async_llm, "CE"),
    Route("POST", "/resume_memory", probes.no_async_llm, "CE"),
    Route("POST", "/update_weights", probes.no_async_llm, "CE"),
    Route("GET", "/server_info", probes.server_info, "CE"),
    Route("GET", "/v1/data_transceiver_state", probes.transceiver_state, "E"),
    Route("POST", "/_internal/tokenize", counting.internal_tokenize, "E"),
    Route("GET", "/_sim/requests", control.list_requests, tasks=TASKS),
    Route("GET", "/_sim/engine", control.engine_state, tasks=TASKS),
    Route("GET", "/_sim/faults", control.list_faults, tasks=TASKS),
    Route("POST", "/_sim/faults", control.replace_faults, tasks=TASKS),
    Route("DELETE", "/_sim/faults", control.clear_faults, tasks=TASKS),
)
PROMETHEUS = Route("GET", "/prometheus/metrics", probes.prometheus)
"""Mounted only when the server keeps performance metrics."""
STORED = "/v1/responses/"
STORED_ROUTES = (
    Route("GET", STORED, response_routes.get, "CE"),
    Route("DELETE", STORED, response_routes.delete, "CE"),
)
"""Those to one response; its id follows."""


class App:
    """Serves one simulator."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        era = sim.dialect.era
        task = sim.settings.task
        routes = [r for r in ROUTES if era in r.eras and task in r.tasks]
        if sim.settings.return_perf_metrics and task in PROMETHEUS.tasks:
            routes.append(PROMETHEUS)
        self._routes: dict[str, dict[str, Handler]] = {}
        stored = {
            r.method: r.handler for r in STORED_ROUTES if era in r.eras and task in r.tasks
        }
        self._stored = stored or None
        for route in routes:
            self._routes.setdefault(route.path, {})[route.method] = route.handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or carry the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        methods = self._methods(scope["path"])
        if methods is None:
            await self._no_route(scope, send)
            return
        handler = methods.get(scope["method"])
        if handler is None:
            await _wrong_method(methods, send)
            return
        await handler(self._sim, scope, receive, send)

    def _methods(self, path: str) -> Mapping[str, Handler] | None:
        found = self._routes.get(path)
        is_stored = path.startswith(STORED) and path.count("/") == STORED.count("/")
        return self._stored if found is None and is_stored else found

    async def _no_route(self, scope: Scope, send: Send) -> None:
        path: str = scope["path"]
        other = path[:-1] if path.endswith("/") else path + "/"
        if path != "/" and other in self._routes:
            await _redirect(scope, other, send)
        elif path in {"/docs", "/redoc"}:
            await send_body(send, 200, b"<!DOCTYPE html>\n<title>FastAPI</title>\n", kind=HTML)
        elif path == "/openapi.json":
            await send_body(send, 200, self._openapi())
        else:
            await send_body(send, 404, b'{"detail":"Not Found"}')

    def _openapi(self) -> bytes:
        paths: dict[str, dict[str, object]] = {
            path: {method.lower(): {} for method in methods}
            for path, methods in self._routes.items()
            if not path.startswith("/_sim/")
        }
        info = {"title": "FastAPI", "version": "0.1.0"}
        return encode({"openapi": "3.1.0", "info": info, "paths": paths})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with asyncio.TaskGroup() as tasks:
            engine = tasks.create_task(self._sim.run_engine())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            engine.cancel()
            with suppress(asyncio.CancelledError):
                await engine
        if self._sim.faults.of_kind("abort_on_exit") is not None:
            self._sim.crash()
        await send({"type": "lifespan.shutdown.complete"})


async def _wrong_method(methods: Mapping[str, Handler], send: Send) -> None:
    body = b'{"detail":"Method Not Allowed"}'
    headers = [
        (b"allow", ", ".join(methods).encode()),
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
    ]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _redirect(scope: Scope, path: str, send: Send) -> None:
    host = dict(scope["headers"]).get(b"host", b"localhost")
    headers = [(b"content-length", b"0"), (b"location", b"http://" + host + path.encode())]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
