"""The series of one replica in one worker: what each attempt at it adds to them.

Upstream TTFT starts when the request is written, after the connection is made, so that it can
be compared with what the engine itself measures.
"""

from gateway.core.outcome import AttemptFacts, AttemptOutcome
from gateway.telemetry.series import Registry


class ReplicaSeries:
    """Children of every family that is labelled by replica, resolved once."""

    def __init__(self, registry: Registry, replica: str) -> None:
        """Create the series of ``replica``, at 0."""
        self._attempts = registry.numbers("trtgw_upstream_attempts_total")
        self._labels = {outcome: (replica, outcome.value) for outcome in AttemptOutcome}
        for labels in self._labels.values():
            self._attempts.setdefault(labels, 0)
        self._ttft = registry.histogram("trtgw_upstream_ttft_seconds", replica)
        self._connect = registry.histogram("trtgw_upstream_connect_seconds", replica)

    def finish(self, attempt: AttemptFacts) -> None:
        """Count an attempt that has ended."""
        self._attempts[self._labels[attempt.outcome]] += 1
        connect_s = attempt.connect_s or 0.0
        if attempt.connect_s is not None:
            self._connect.observe(connect_s)
        if attempt.first_content_at is not None:
            self._ttft.observe(attempt.first_content_at - attempt.started_at - connect_s)
