"""The metrics that the supervisor alone can count: states of replicas, probes, the build."""

import os
from collections.abc import Mapping

from backends.replica import ReplicaState
from gateway.core.drift import Figures
from gateway.core.outlier import Cause
from gateway.telemetry.catalogue import CATALOGUE, SIGNALS, Filler
from gateway.telemetry.series import Registry


class FleetMetrics:
    """Counts in the supervisor; cheap, and used from the event loop's thread alone."""

    def __init__(self, *, version: str, revision: str, python: str) -> None:
        """Start at 0; the arguments become `trtgw_build_info`."""
        self._registry = registry = Registry(
            family for family in CATALOGUE.values() if family.filler is not Filler.WORKER
        )
        self._state_of: dict[str, ReplicaState] = {}
        self._states = registry.numbers("trtgw_replica_state")
        self._transitions = registry.numbers("trtgw_replica_state_transitions_total")
        self._ejections = registry.numbers("trtgw_replica_ejections_total")
        self._suspicions = registry.numbers("trtgw_replica_suspicions_total")
        self._drift_rounds = registry.numbers("trtgw_replica_drift_rounds")
        self._agreement = registry.numbers("trtgw_replica_agreement_ratio")
        self._difference = registry.numbers("trtgw_replica_logprob_difference")
        self._checks = registry.numbers("trtgw_replica_health_checks_total")
        self._in_flight = registry.numbers("trtgw_replica_in_flight")
        registry.numbers("trtgw_build_info")[version, revision, python] = 1
        for signal in SIGNALS:
            self.dropped(signal, 0)

    def replica_state(self, replica: str, state: ReplicaState) -> None:
        """Show ``replica`` in ``state``; a change of it counts as a transition."""
        before = self._state_of.get(replica)
        if before is state:
            return
        self._state_of[replica] = state
        for each in ReplicaState:
            self._states[replica, each.value] = 1 if each is state else 0
            self._transitions.setdefault((replica, each.value), 0)
        for cause in Cause:
            self._ejections.setdefault((replica, cause.value), 0)
        self._in_flight.setdefault((replica,), 0)
        if before is not None:
            self._transitions[replica, state.value] += 1

    def replica_in_flight(self, replica: str, requests: int) -> None:
        """Set how many requests all workers together have open on ``replica``."""
        self._in_flight[replica,] = requests

    def ejected(self, replica: str, cause: Cause) -> None:
        """Count one ejection."""
        labels = (replica, cause.value)
        self._ejections[labels] = self._ejections.get(labels, 0) + 1

    def suspected(self, replica: str, cause: Cause, result: str) -> None:
        """Count one suspicion; ``result`` is a word from the fixed list of opinions."""
        labels = (replica, cause.value, result)
        self._suspicions[labels] = self._suspicions.get(labels, 0) + 1

    def compared(self, replica: str, rounds: int, figures: Figures | None) -> None:
        """Show how a replica stands after it was compared with its siblings, or left out."""
        self._drift_rounds[replica,] = rounds
        if figures is not None:
            self._agreement[replica,] = figures.agreement
            self._difference[replica,] = figures.difference

    def health_check(self, replica: str, result: str) -> None:
        """Count one probe; ``result`` is a word from the prober's fixed list."""
        labels = (replica, result)
        self._checks[labels] = self._checks.get(labels, 0) + 1

    def forget_replica(self, replica: str) -> None:
        """Drop every series of a replica whose record is gone."""
        self._state_of.pop(replica, None)
        self._registry.forget("replica", replica)

    def workers_up(self, up: Mapping[str, bool]) -> None:
        """Show which workers run and report, by slot."""
        series = self._registry.numbers("trtgw_worker_up")
        series.update({(slot,): int(is_up) for slot, is_up in up.items()})

    def dropped(self, signal: str, total: int) -> None:
        """Set how many ``spans`` or ``logs`` this process has thrown away since its start."""
        self._registry.numbers("trtgw_telemetry_dropped_total")[signal,] = total

    def dump(self) -> bytes:
        """Encode all series."""
        return self._registry.dump(os.getpid())
