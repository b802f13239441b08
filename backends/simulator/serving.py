"""The life of a simulated server: load, bind, serve, drain.

While it loads, clients are refused, in every era: the older ones take the port afterwards,
the newer ones take it first, so that a clash ends them at once, but do not listen. Signals are
uvicorn's: the first one stops listening and waits without limit for open answers, a second
SIGINT does not wait.
"""

import logging
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import uvicorn
from typing_extensions import override

from backends.simulator.app import App
from backends.simulator.connection import WatchedProtocol
from backends.simulator.simulator import Simulator

log = logging.getLogger("backends.simulator")
KEEP_ALIVE_S = 5
LOAD_STEPS = 20


class NoGpu(ValueError):  # noqa: N818 - names the condition
    """There is no GPU, says the fault of that name."""


class LogFormat(logging.Formatter):
    """Spells lines as the server does: its own with the date, uvicorn's with the level."""

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__()
        self._wall = wall

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if record.name.startswith("uvicorn"):
            label = f"{record.levelname}:"
            return f"{label:<10}{text}"
        at = datetime.fromtimestamp(self._wall(), UTC).strftime("%m/%d/%Y-%H:%M:%S")
        return f"[{at}] [TRT-LLM] [{record.levelname[0]}] {text}"


def configure_logging(wall: Callable[[], float]) -> None:
    """Send the log to stderr in the server's format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormat(wall))
    for name in ("uvicorn", "uvicorn.error", "backends.simulator"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = name == "uvicorn.error"
        logger.handlers = [handler] if name != "uvicorn.error" else []


class _Server(uvicorn.Server):
    """Says where it listens, given a socket of ours."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on our socket, and tell the port."""
        await super().startup(sockets=[self._listener])
        host, port = self.config.host, self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        logging.getLogger("uvicorn.error").info(
            "Uvicorn running on http://%s:%d (Press CTRL+C to quit)", shown, port
        )


def bind(host: str, port: int) -> socket.socket:
    """Take the port without listening.

    Raises:
        RuntimeError: it cannot be had; in the server's words.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, address = min(found)  # AF_INET is the smallest: localhost is IPv4
    listener = socket.socket(family, kind, proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as wrong:
        listener.close()
        raise RuntimeError(f"Failed to bind socket to {host}:{port}: {wrong}") from wrong
    listener.set_inheritable(False)
    return listener


def load(seconds: float, sleep: Callable[[float], None]) -> None:
    """Spend the time that loading takes, with a line for each step of it."""
    log.info("Loading %s", "weights")
    total = 1408
    for step in range(1, LOAD_STEPS + 1):
        sleep(seconds / LOAD_STEPS)
        done = total * step // LOAD_STEPS
        sys.stderr.write(f"Loading weights: {100 * step // LOAD_STEPS}%| {done}/{total}\n")
    log.info("Model init total -- %.2fs", seconds)


def serve(sim: Simulator, host: str, port: int, *, start_s: float) -> None:
    """Load, then serve until a signal."""
    if sim.faults.of_kind("no_gpu") is not None:
        raise NoGpu("No GPU devices found on the node")
    delay = sim.faults.of_kind("load_delay")
    seconds = start_s + ((delay.s or 0.0) if delay is not None else 0.0)
    listener = bind(host, port) if sim.dialect.binds_early else None
    if seconds > 0:
        load(seconds, time.sleep)
    listener = listener or bind(host, port)
    server(App(sim), listener, host).run()


def server(app: App, listener: socket.socket, host: str) -> uvicorn.Server:
    """Return what serves ``app`` on a bound socket, and closes it; ``host`` is for the log."""
    config = uvicorn.Config(
        app,
        host=host,
        http=WatchedProtocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return _Server(config, listener)
