"""How the supervisor starts a worker: its command line, its environment."""

import os
import sys
from collections.abc import Mapping, Sequence

import msgspec

from gateway.assembly import VERSION, Assembly
from gateway.state.link import ALONE_S
from gateway.telemetry.tracing import TracingSettings, traces_endpoint
from gateway.workers import WorkerSettings

_ALONE = "TRTLLM_GATEWAY_WORKER_ALONE_S"
"""Seconds after which a worker without a supervisor ends; not a setting: for tests."""


def worker_command(parts: Assembly, slot: int) -> Sequence[str]:
    """Return the command line of the worker of ``slot``."""
    config, sockets = parts.config, parts.opened.data_sockets
    settings = WorkerSettings(
        slot=slot,
        generation=parts.generation,
        state_dir=str(config.state.dir),
        sockets=tuple(sock.fileno() for sock in sockets),
        own=tuple(range(slot, len(sockets), parts.workers)),
        version=VERSION,
        header_s=config.server.header_s,
        body_s=config.server.body_s,
        grace_s=config.server.grace_s,
        alone_s=float(os.environ.get(_ALONE, ALONE_S)),
        tracing=TracingSettings(
            endpoint=traces_endpoint(config.telemetry.otlp_endpoint, os.environ),
            sample_share=config.telemetry.sample_share,
            trust_incoming=config.telemetry.trust_incoming,
        ),
        log_level=config.telemetry.log.level,
    )
    return (sys.executable, "-m", "gateway.worker", msgspec.json.encode(settings).decode())


def worker_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's environment: secrets that came by the gateway's stay there."""
    return {k: v for k, v in environ.items() if not k.startswith("TRTGW_")}
