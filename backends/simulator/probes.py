"""The routes that generate nothing: health, version, models, metrics, events."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from backends.simulator.errors import flat_error
from backends.simulator.frames import encode
from backends.simulator.iteration import EngineRequest, Output
from backends.simulator.observations import kv_event
from backends.simulator.replies import Receive, Scope, Send, read_body, send_body
from backends.simulator.simulator import Simulator
from backends.simulator.stats import RequestRecord
from backends.simulator.text import tokenize

T = TypeVar("T")
UNHEALTHY = b"LLM is unavailable. Please check the server logs for more details."
STATS_WAIT_S = 2.0
TOKENS_PER_BLOCK = 32
CLOCK_OFFSET_SLEEP_S = 0.2
_PAUSE_S = 0.02


async def health(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /health``."""
    slow = sim.faults.of_kind("slow_health")
    if slow is not None:
        await asyncio.sleep(10 if slow.s is None else slow.s)
    asks = sim.dialect.health_asks_engine or not sim.exits_when_asked
    if sim.healthy or not asks:
        await send_body(send, 200, kind=None)
        return
    await send_body(send, 503, UNHEALTHY, kind=None)
    if sim.exits_when_asked:
        sim.exits_when_asked = False
        sim.interrupt()


class _OneToken:
    def __init__(self) -> None:
        self.done = asyncio.Event()

    def deliver(self, output: Output) -> None:
        """Wait for the end."""

    def end(self, record: RequestRecord) -> None:  # noqa: ARG002 - as the driver calls it
        """Tell the waiter."""
        self.done.set()


async def health_generate(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /health_generate``: one token, behind all else that runs, no timeout."""
    sink = _OneToken()
    request = EngineRequest(sim.next_number(), tokenize("hi"), 1, streamed=False)
    sim.driver.submit(request, sink)
    await sink.done.wait()
    await send_body(send, 200, b"Generation health check OK", kind=None)


async def version(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /version``."""
    await send_body(send, 200, encode({"version": sim.dialect.version}))


async def models(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /v1/models``: one card."""
    name = sim.settings.own_name
    if sim.faults.of_kind("wrong_model") is not None:
        name = f"not-{name}"
    card = {
        "id": name,
        "object": "model",
        "created": int(sim.wall()),
        "owned_by": "tensorrt_llm",
    }
    await send_body(send, 200, encode({"object": "list", "data": [card]}))


async def metrics(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /metrics``: the iterations since the last call."""
    empty = sim.faults.of_kind("empty_metrics")
    if empty is not None:
        await asyncio.sleep(STATS_WAIT_S if empty.s is None else empty.s)
        await send_body(send, 200, b"[]")
        return
    steps = await _wait_for(sim, sim.observations.drain_steps, STATS_WAIT_S)
    await send_body(send, 200, encode(steps))


async def perf_metrics(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /perf_metrics``: the requests since the last call."""
    await send_body(send, 200, encode(sim.observations.drain_requests()))


async def kv_cache_events(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``POST /kv_cache_events``: the changes since the last call."""
    events = await _wait_for(sim, sim.engine.drain_events, sim.dialect.events_wait_s)
    spelled = [kv_event(event, sim.settings.max_seq_len) for event in events]
    await send_body(send, 200, encode(spelled))


async def prometheus(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /prometheus/metrics``, which exists only with ``return_perf_metrics``."""
    text = sim.observations.exposition.render()
    await send_body(send, 200, text, kind=b"text/plain; version=0.0.4; charset=utf-8")


async def _wait_for(
    sim: Simulator, drain: Callable[[], Sequence[T]], wait_s: float
) -> Sequence[T]:
    deadline = sim.clock() + wait_s
    while not (found := drain()) and sim.clock() < deadline:  # noqa: ASYNC110 - a drain signals nothing
        await asyncio.sleep(_PAUSE_S)
    return found


async def server_info(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /server_info``."""
    info: dict[str, object] = {"disaggregated_params": {}}
    if sim.dialect.engine_metrics:
        info |= {
            "max_batch_size": sim.settings.max_batch_size,
            "kv_cache_hash_algo": "v1_block_key",
            "tokens_per_block": TOKENS_PER_BLOCK,
        }
    await send_body(send, 200, encode(info))


async def energy_metrics(_sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /energy_metrics`` as a host without energy counters does."""
    await send_body(send, 503, b'{"error":"Energy monitoring is not available"}')


async def transceiver_state(
    _sim: Simulator, _scope: Scope, _receive: Receive, send: Send
) -> None:
    """Answer ``GET /v1/data_transceiver_state`` outside disaggregated serving."""
    await send_body(send, 404, b'{"error":"No transceiver state available"}')


async def clock_offset(sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer ``GET /steady_clock_offset``: when it was asked and when it answered."""
    received = sim.clock() + sim.clock_offset_s
    await asyncio.sleep(CLOCK_OFFSET_SLEEP_S)
    sent = sim.clock() + sim.clock_offset_s
    await send_body(send, 200, encode({"receive_ts": received, "transmit_ts": sent}))


class _Offset(msgspec.Struct):
    offset: float


async def set_clock_offset(sim: Simulator, _scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``POST /steady_clock_offset``."""
    try:
        offset = msgspec.json.decode(await read_body(receive) or b"", type=_Offset)
    except msgspec.DecodeError as wrong:
        await send_body(send, 400, flat_error(str(wrong)))
        return
    sim.clock_offset_s = offset.offset
    await send_body(send, 200, kind=None)


async def no_async_llm(_sim: Simulator, _scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer the routes of reinforcement learning, which assert another kind of engine."""
    kind = b"text/plain; charset=utf-8"
    await send_body(send, 500, b"Internal Server Error", kind=kind)
