"""Choose and start the tracer that the configuration asks for.

The OpenTelemetry SDK is imported only where spans are exported: a worker that exports none
starts faster and stays smaller.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from gateway.telemetry.clocks import Clocks
from gateway.telemetry.passthrough import PassThrough, Untraced
from gateway.telemetry.tracer import Tracer


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where traces go, and how many."""

    endpoint: str | None = None
    """URL of an OTLP/HTTP traces endpoint, from `traces_endpoint`; None exports nothing."""
    sample_share: float = 0.05
    """Share of the requests without a trusted parent that are traced, 0 to 1."""
    trust_incoming: bool = False
    """Whether a client's trace context becomes the parent; else a new trace is linked to it."""
    service_name: str = "trtllm-gateway"


def traces_endpoint(configured: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the URL to export to; None when tracing is off.

    The configuration comes first, then OpenTelemetry's variables; a base URL gets
    ``/v1/traces``, as the standard has it:
    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not configured and environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]
    base = configured or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None
    if base is None or base.endswith("/v1/traces"):
        return base
    return f"{base.rstrip('/')}/v1/traces"


def start_tracing(
    settings: TracingSettings, clocks: Clocks, rng: Random, *, slot: str, version: str
) -> Tracer:
    """Return the tracer of the worker in ``slot``; `Tracer.close` ends its thread."""
    if settings.endpoint is None:
        return PassThrough() if settings.trust_incoming else Untraced()
    from gateway.telemetry import otel  # noqa: PLC0415 - see the module's first lines

    return otel.OtelTracer(
        otel.otlp_exporter(settings.endpoint),
        clocks,
        resource={
            "service.name": settings.service_name,
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}:{slot}",
        },
        sample_share=settings.sample_share,
        trust_incoming=settings.trust_incoming,
        rng=rng,
    )
