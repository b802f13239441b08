"""What the fleet is told by the configuration: values only, one per stage.

The configuration converts to these; the fleet never sees the configuration itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from backends.simulated import SimulatorOptions
from gateway.core.snapshot import Ejection, Limits, Retries, Timeouts


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model of the configuration."""

    name: str
    source: str
    """What replicas are started from, and the model name that their requests carry."""
    aliases: tuple[str, ...] = ()
    precision: str = "auto"
    launcher: str = "process"
    initial: int = 1
    """Replicas wanted until the admin API says otherwise."""
    min: int = 0
    max: int = 4
    static: tuple[str, ...] = ()
    """URLs of replicas that somebody else runs."""
    static_source: str | None = None
    """What they must report to serve; None: whatever they do."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)
    ejection: Ejection = field(default_factory=Ejection)
    resume: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Options laid over the recipe's, for every replica of this model."""
    sim: SimulatorOptions = field(default_factory=SimulatorOptions)

    def fingerprint(self) -> str:
        """Return a text that changes when this block of the configuration changes.

        Fields at their default are left out: a release that adds a setting must not look like
        an edit.
        """
        defaults = ModelSettings(name="", source="")
        changed = {
            f.name: value
            for f in fields(self)
            if (value := getattr(self, f.name)) != getattr(defaults, f.name)
        }
        return msgspec.json.encode(changed, order="sorted").decode()


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How replicas are probed."""

    loading_s: float = 1.0
    """Pause between probes of a replica that is not ready."""
    ready_s: float = 2.0
    timeout_s: float = 5.0
    """For each cheap request; /health can be slow: tokenisation shares its event loop."""
    generate_s: float = 60.0
    """For the proving generation: the first one may compile kernels."""
    failures: int = 3
    """Failed probes in a row that make a ready replica unhealthy."""
    jitter_share: float = 0.1


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """When replicas are started again, given up and stopped."""

    interval_s: float = 1.0
    backoff_s: float = 10.0
    backoff_max_s: float = 300.0
    jitter_share: float = 0.2
    stable_s: float = 600.0
    """Seconds READY after which earlier failures are forgotten."""
    attempts: int = 5
    """Failed starts in a row that make a replica FAILED."""
    start_deadline_s: float = 3600.0
    unhealthy_s: float = 300.0
    """Seconds UNHEALTHY after which a replica that the gateway runs is started again."""
    drain_s: float = 300.0
    """Grace of a drain when the caller names none."""
    settle_s: float = 1.0
    """A drain takes at least this long: a worker may still pick from the snapshot before it."""
    stop_s: float = 30.0
    """From asking a process to end to ending it by force."""
    lost_s: float = 60.0
    """Pause before the next try at stopping a replica whose end was not proven."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """The whole fleet."""

    models: tuple[ModelSettings, ...] = ()
    discover: tuple[str, ...] = ()
    """URLs of running replicas whose model is asked of them."""
    defaults: ModelSettings = ModelSettings(name="", source="")
    """Settings of models that are discovered; name and source are theirs."""
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    reconcile: ReconcileSettings = field(default_factory=ReconcileSettings)
