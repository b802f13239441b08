"""Which replica tells clients that they are wrong when its siblings do not.

``trtllm-serve`` turns any exception of its own into a 400, so one whose insides are broken may
blame every client. A single answer does not show it; the share of them beside that of replicas
that should answer alike does. Rule: this makes a replica suspect, no more. Who sends only bad
requests, and by chance to one replica, looks the same from here, so nobody is left out before
a request that is known to be good was refused too.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_high

from backends.replica import ReplicaId
from gateway.core.snapshot import Ejection, ModelView

LEAST_SIBLINGS = 2
"""Of two replicas that differ nobody can say which one is right."""


class _Window:
    """The last answers of one replica."""

    __slots__ = ("recent", "refused", "rules", "siblings")

    def __init__(self, rules: Ejection) -> None:
        self.rules = rules
        self.recent: deque[bool] = deque(maxlen=rules.over_requests)
        self.refused = 0
        self.siblings: Sequence[ReplicaId] = ()

    @property
    def full(self) -> bool:
        return len(self.recent) == self.rules.over_requests

    @property
    def share(self) -> float:
        return self.refused / len(self.recent)

    def add(self, *, refused: bool) -> None:
        recent = self.recent
        if len(recent) == recent.maxlen:
            self.refused -= recent[0]
        recent.append(refused)
        self.refused += refused

    def clear(self) -> None:
        self.recent.clear()
        self.refused = 0


class Refusals:
    """The last answers of all replicas of one worker, as far as they are READY."""

    def __init__(self) -> None:
        """Know none."""
        self._windows: dict[ReplicaId, _Window] = {}

    def take(self, models: Iterable[ModelView]) -> None:
        """Take up a snapshot: siblings are those of one model that speak one dialect."""
        before, self._windows = self._windows, {}
        for model in models:
            for view in model.replicas:
                window = before.get(view.id)
                if window is None or window.rules != model.ejection:
                    window = _Window(model.ejection)
                window.siblings = tuple(
                    other.id
                    for other in model.replicas
                    if other.dialect == view.dialect and other.id != view.id
                )
                self._windows[view.id] = window

    def note(self, replica: ReplicaId, *, refused: bool) -> str | None:
        """Note an answer; return why the replica is suspect if it is now.

        It then begins anew: it is not suspect again before as many answers came once more.
        """
        window = self._windows.get(replica)
        if window is None:
            return None
        window.add(refused=refused)
        if not refused or not window.full:
            return None
        found = self._judge(window, self._windows)
        if found is not None:
            window.clear()
        return found

    def _judge(self, window: _Window, windows: Mapping[ReplicaId, _Window]) -> str | None:
        siblings = [windows[sibling] for sibling in window.siblings]
        shares = [sibling.share for sibling in siblings if sibling.full]
        if len(shares) < LEAST_SIBLINGS:
            return None
        usual = median_high(shares)
        if window.share - usual <= window.rules.refused_margin:
            return None
        return (
            f"{window.refused} of its last {len(window.recent)} answers say that the request"
            f" is wrong, of its siblings' {usual:.0%}"
        )
