"""All that asks replicas how they are: probes, second opinions, comparisons of their answers.

Rule: each says by itself what it found, and only through the registry; none waits for another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from backends.replica import ReplicaId
from gateway.core.outlier import Cause, Outlier
from gateway.fleet import drifting, prober
from gateway.fleet.drifting import Comparing, Drift
from gateway.fleet.ejecting import Ejections
from gateway.fleet.health import ProbeOutcome
from gateway.fleet.prober import Probe, Prober
from gateway.fleet.second_opinions import Opinion, SecondOpinions, Told
from gateway.fleet.settings import ProbeSettings
from gateway.fleet.state import FleetState
from gateway.state.store import ReplicaRecord


@dataclass(frozen=True, slots=True)
class Means:
    """What watching needs from outside."""

    probe: Probe
    settings: ProbeSettings
    rng: Random
    monotonic: Callable[[], float]
    """Seconds of the clock that the board's instants are on."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Who counts what is found."""

    observe: Callable[[ReplicaId, ProbeOutcome], None]
    """Told of each probe's outcome."""
    ejected: Callable[[ReplicaId, Cause], None]
    """Told of each ejection."""
    doubted: Callable[[ReplicaId, Cause, Opinion], None]
    """Told what came of each suspicion."""
    compared: Callable[[ReplicaId, Drift], None]
    """Told how a replica stands after each comparison with its siblings."""


@dataclass(frozen=True, slots=True)
class Consequences:
    """What the fleet does about what is found."""

    discovered: Callable[[ReplicaRecord, str], None]
    """Told the model of a replica whose model was not known."""
    suspect: Callable[[str], None]
    """Told of a replica to be looked at soon."""
    drain: Callable[[str], Awaitable[object]]
    """Takes a replica out of service."""


class Watching:
    """Watches all replicas of one fleet."""

    def __init__(
        self, state: FleetState, means: Means, findings: Findings, does: Consequences
    ) -> None:
        """Prepare; `run` watches."""
        probe, rng = means.probe, means.rng
        self._ejections = ejections = Ejections(state, rng, findings.ejected)
        self.prober = Prober(
            state.registry,
            ejections,
            probe,
            means.settings,
            rng=rng,
            hearers=prober.Hearers(findings.observe, does.discovered),
        )
        told = Told(findings.doubted, does.suspect)
        self.opinions = SecondOpinions(state, ejections, probe, told, monotonic=means.monotonic)
        hearers = drifting.Hearers(findings.compared, does.drain)
        self.comparing = Comparing(state, probe, rng, hearers)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.prober.run(), name="prober")
            tasks.create_task(self.opinions.run(), name="second opinions")
            tasks.create_task(self.comparing.run(), name="comparing")

    def eject(self, outlier: Outlier) -> None:
        """Eject a replica, one that is only suspect if a second opinion bears it out."""
        if outlier.cause is Cause.REFUSED:
            self.opinions.doubt(outlier)
        else:
            self._ejections.eject(outlier)
