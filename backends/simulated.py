"""The specification of a simulated replica: the same life as a real one, without a GPU.

Only the command line knows the simulator: nothing here imports it.
"""

import sys
from dataclasses import dataclass

from backends.replica import ReplicaSpec


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How a simulated replica behaves; None leaves it to the simulator."""

    profile: str | None = None
    """``<model>-<precision>-<n>x<gpu>``."""
    dialect: str = "1.2"
    seed: int = 0
    time_scale: float = 1.0
    """Factor on every duration of the engine: 0.1 is ten times as fast."""
    start_s: float = 0.0
    max_batch_size: int | None = None
    faults: tuple[str, ...] = ()
    """Each ``KIND`` or ``KIND:key=value,...``."""


_OBSERVE = (
    "--enable-iter-perf-stats",
    "--return-perf-metrics",
    "--perf-metrics-max-requests",
    "1000",
    "--event-buffer-max-size",
    "16384",
)


def simulated(
    model: str, source: str, options: SimulatorOptions | None = None, *, observe: bool = True
) -> ReplicaSpec:
    """Return what runs a simulator of ``source`` under the gateway's name ``model``.

    ``observe`` switches on statistics, request timings and KV events, as for a real replica.
    """
    options = options or SimulatorOptions()
    argv = [sys.executable, "-m", "backends.simulator", "--model", source]
    argv += ["--host", "{host}", "--port", "{port}"]
    for name in ("profile", "dialect", "seed", "time_scale", "start_s", "max_batch_size"):
        value = getattr(options, name)
        if value is not None:
            argv += [f"--{name.replace('_', '-')}", str(value)]
    for fault in options.faults:
        argv += ["--fault", fault]
    return ReplicaSpec(
        model=model,
        source=source,
        launcher="sim",
        argv=(*argv, *(_OBSERVE if observe else ())),
        concurrency=options.max_batch_size,
        plan={"recipe": "simulated", "profile": options.profile, "dialect": options.dialect},
    )
