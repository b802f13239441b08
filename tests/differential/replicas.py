"""Simulators of every release on real sockets that answer the same each time, and keep bodies.

What is random in them is not: a request without a seed gets the same text each time, and no
prompt is ever found in the cache. So two answers to one request differ only in ids.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random

from backends.simulator.app import App
from backends.simulator.command import build
from backends.simulator.serving import bind, server
from gateway.core.fields import DIALECTS
from tests.wire.serving import CREATED, DEADLINE_S, eventually, options

QUICK = {
    "time_scale": 0.0001,
    "enable_block_reuse": False,
    "max_num_tokens": 2048,
    "max_seq_len": 1024,
}
SETTINGS = {
    "1.0": {},
    "1.1": {"guided_decoding_backend": "xgrammar", "reasoning_parser": "qwen3"},
    "1.2": {
        "guided_decoding_backend": "xgrammar",
        "tool_parser": "qwen3",
        "stream_interval": 3,
    },
    "main": {
        "guided_decoding_backend": "xgrammar",
        "tool_parser": "qwen3",
        "reasoning_parser": "qwen3",
    },
}
"""What they were started with: some of what changes the answers is on in some of them."""
SOURCE = "nvidia/Llama-3.3-70B-Instruct-FP8"


class Constant(Random):
    """Seeds for requests that bring none: always the same."""

    def getrandbits(self, k: int) -> int:
        return (1 << k) // 3


@dataclass
class Recorder:
    """Keeps the bodies that came to an application, by the request's id."""

    app: object
    bodies: dict[str, bytes] = field(default_factory=dict)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = dict(scope["headers"]).get(b"x-request-id", b"").decode()
        parts = []

        async def recorded():
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                self.bodies[name] = b"".join(parts)
            return message

        await self.app(scope, recorded, send)


@dataclass(frozen=True)
class RecordedReplica:
    """One simulator."""

    dialect: str
    port: int
    recorder: Recorder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def model(self) -> str:
        """Its model's name at the gateway; the replica's own is an alias."""
        return f"llama-{self.dialect}"

    @property
    def source(self) -> str:
        """What it calls its model itself."""
        return f"{SOURCE}-{self.dialect}"


@contextmanager
def serving(dialect: str, **changed) -> Iterator[RecordedReplica]:
    """Run one until the block ends."""
    known = QUICK | SETTINGS[dialect] | changed
    source = f"{SOURCE}-{dialect}"
    sim = build(
        options(model=source, dialect=dialect, **known),
        clock=time.monotonic,
        wall=lambda: float(CREATED),
    )
    sim.rng = Constant()
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    running = server(App(sim), listener, "127.0.0.1")
    running.config.app = recorder = Recorder(running.config.app)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        eventually(lambda: running.started, "the simulator serves")
        yield RecordedReplica(dialect, port, recorder)
    finally:
        running.should_exit = True
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


@contextmanager
def replicas() -> Iterator[dict[str, RecordedReplica]]:
    """Run one of each release, by its name."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(name)) for name in DIALECTS}
