"""How each replica stands with one worker: left out, coming back, or as good as any.

Rule: a worker leaves a replica out by itself and at once; taking it back is the supervisor's,
which proves it first. So what a snapshot says holds only if it knows of the ejection, by its
count, and where no supervisor is there the worker's own clock ends it. Instants are seconds of
that clock.
"""

import math
from collections.abc import Collection, Iterable, Mapping

from backends.replica import ReplicaId
from gateway.core.outcome import AttemptOutcome
from gateway.core.outlier import Cause, Failures, Outlier, Sign, pause_s
from gateway.core.refusals import Refusals
from gateway.core.snapshot import Ejection, ModelView, ReplicaView

_FIRST_SHARE = 0.1


def share_after(elapsed_s: float, slow_start_s: float) -> float:
    """Return the share of its load that a replica gets so long after it came back, up to 1."""
    if elapsed_s >= slow_start_s:
        return 1.0
    return _FIRST_SHARE + (1 - _FIRST_SHARE) * max(elapsed_s, 0.0) / slow_start_s


class _Known:
    """A replica of the last snapshot."""

    __slots__ = ("ejections", "failures", "in_row", "outlier", "serves", "since")

    def __init__(self, view: ReplicaView, rules: Ejection, since: float, in_row: int) -> None:
        self.ejections = view.ejections
        self.failures = Failures(rules)
        self.serves = True
        self.since = since
        """When it was last taken back."""
        self.in_row = in_row
        """How often this worker left it out with no good time between."""
        self.outlier: Outlier | None = None


class Standings:
    """The standing of all replicas with one worker."""

    def __init__(self) -> None:
        """Know none; those of the first snapshot have always been there."""
        self._known: dict[ReplicaId, _Known] = {}
        self._out: dict[ReplicaId, float] = {}
        """Until when; for ever where the supervisor ends it."""
        self._warming: dict[ReplicaId, float] = {}
        """Since when."""
        self._begun = False
        self._refusals = Refusals()

    @property
    def ordinary(self) -> bool:
        """Whether none is left out and none on its way back: nothing need be asked then."""
        return not self._out and not self._warming

    def take(self, models: Iterable[ModelView], at: float) -> list[Outlier]:
        """Take up a snapshot; return the outliers that it does not know of."""
        before, self._known = self._known, {}
        models = tuple(models)
        for model in models:
            self._take_model(model, before, at)
        self._refusals.take(models)
        self._begun = True
        for standing in (self._out, self._warming):
            for gone in standing.keys() - self._known.keys():
                del standing[gone]
        return [known.outlier for known in self._known.values() if known.outlier is not None]

    def note(
        self,
        replica: ReplicaId,
        sign: Sign,
        outcome: AttemptOutcome,
        *,
        began_at: float,
        at: float,
    ) -> Outlier | None:
        """Note how an attempt ended; return the replica as an outlier if it is one now.

        It is left out then, unless it is only suspect (`Cause.REFUSED`). An attempt that began
        before the replica was last taken back tells nothing new.
        """
        known = self._known.get(replica)
        if known is None or replica in self._out or began_at < known.since:
            return None
        found = known.failures.note(sign, outcome)
        if found is None:
            return self._suspect(known, replica, sign, outcome)
        rules = known.failures.rules
        known.in_row = 1 if at - known.since >= rules.max_s else known.in_row + 1
        known.outlier = Outlier(replica, known.ejections, *found)
        self._out[replica] = at + pause_s(rules, known.in_row)
        self._warming.pop(replica, None)
        return known.outlier

    def _suspect(
        self, known: _Known, replica: ReplicaId, sign: Sign, outcome: AttemptOutcome
    ) -> Outlier | None:
        if sign is not Sign.ANSWERED:
            return None
        refused = outcome is AttemptOutcome.HTTP_4XX
        why = self._refusals.note(replica, refused=refused)
        return None if why is None else Outlier(replica, known.ejections, Cause.REFUSED, why)

    def left_out(self, at: float) -> Collection[ReplicaId]:
        """Return the replicas that are left out."""
        for replica, until in [*self._out.items()]:
            if at >= until:
                self._take_back(replica, at)
        return self._out.keys()

    def share(self, replica: ReplicaId, at: float) -> float:
        """Return the share of its load that a replica gets: less than 1 while it comes back."""
        since = self._warming.get(replica)
        if since is None:
            return 1.0
        share = share_after(at - since, self._known[replica].failures.rules.slow_start_s)
        if share >= 1:
            del self._warming[replica]
        return share

    def _take_model(
        self, model: ModelView, before: Mapping[ReplicaId, _Known], at: float
    ) -> None:
        served = [view.id for view in model.replicas if _served(before.get(view.id))]
        for view in model.replicas:
            known = before.get(view.id)
            if known is None or not known.serves or known.ejections != view.ejections:
                known = self._came(view, model.ejection, known, at, warm=bool(served))
            elif known.failures.rules != model.ejection:
                known.failures = Failures(model.ejection)
            self._known[view.id] = known
        for view in model.ejected:
            known = before.get(view.id) or _Known(view, model.ejection, at, 0)
            known.serves, known.ejections, known.outlier = False, view.ejections, None
            self._known[view.id] = known
            self._out[view.id] = math.inf

    def _came(
        self,
        view: ReplicaView,
        rules: Ejection,
        before: _Known | None,
        at: float,
        *,
        warm: bool,
    ) -> _Known:
        """Begin anew with a replica that is READY now and was not."""
        self._out.pop(view.id, None)
        if warm and self._begun:
            self._warming[view.id] = at
        since = at if self._begun else -math.inf
        return _Known(view, rules, since, 0 if before is None else before.in_row)

    def _take_back(self, replica: ReplicaId, at: float) -> None:
        """End an ejection that no supervisor ended."""
        known = self._known[replica]
        del self._out[replica]
        known.failures, known.since, known.outlier = Failures(known.failures.rules), at, None
        self._warming[replica] = at


def _served(known: _Known | None) -> bool:
    return known is not None and known.serves
