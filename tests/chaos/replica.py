"""A simulated trtllm-serve whose faults each request brings along: ``python -m ... PORT``.

All that it does is the simulator's own doing; only the drawing of faults is replaced, so that
who asks knows which request met which.
"""

import sys
import time
from contextvars import ContextVar

from backends.simulator import serving
from backends.simulator.app import App
from backends.simulator.building import Options, build
from backends.simulator.faults import Fault, FaultPlan, parse_fault

MODEL = "nvidia/Llama-3.3-70B-Instruct-FP8"
FAULT_HEADER = "x-chaos-fault"
_TIME_SCALE = 0.01
_told: ContextVar[Fault | None] = ContextVar("told", default=None)


class ToldFaults(FaultPlan):
    """Gives each request the fault that its header names."""

    def for_request(self) -> Fault | None:
        """See `FaultPlan`."""
        return _told.get()


class ToldApp(App):
    """Reads the header."""

    async def __call__(self, scope, receive, send) -> None:
        """See `App`."""
        for name, value in scope.get("headers", ()):
            if name == FAULT_HEADER.encode():
                _told.set(parse_fault(value.decode()))
        await super().__call__(scope, receive, send)


def main(port: int) -> None:
    """Serve until a signal."""
    options = Options(
        model=MODEL,
        port=port,
        host="127.0.0.1",
        dialect="1.2",
        seed=0,
        time_scale=_TIME_SCALE,
        start_s=0,
        faults=(),
        enable_iter_perf_stats=False,
        iter_stats_max_iterations=1,
        return_perf_metrics=False,
        perf_metrics_max_requests=0,
        event_buffer_max_size=0,
        enable_block_reuse=True,
        stream_interval=1,
        enable_chunked_prefill=False,
        acceptance_rate=0.7,
        max_draft_len=0,
    )
    wall = time.time  # noqa: TID251 - the composition root
    simulator = build(options, clock=time.monotonic, wall=wall)
    simulator.faults = ToldFaults((), seed=0)
    serving.configure_logging(wall)
    listener = serving.bind("127.0.0.1", port)
    serving.server(ToldApp(simulator), listener, "127.0.0.1").run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
