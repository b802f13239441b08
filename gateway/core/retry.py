"""Keep failing requests from multiplying the load of replicas that fail.

Rule: a retry that is answered costs nothing, since its work had to be done anyway; only one
that fails too is load on top. So a replica that is lost among sound ones is covered however
many requests it held, and where all fail, each request is soon tried once.
"""

from gateway.core.snapshot import Retries

_LOOK_BACK = 100
"""What more requests than these have earned is not saved up."""
_ROUNDING = 1e-9


class RetryBudget:
    """How many retries of one model may still fail.

    Starts with ``budget_min``; each request adds ``budget_share``, each retry that fails takes
    one. Retries under way at the same time may overdraw it: what they owe is earned first.
    """

    __slots__ = ("_left", "_most", "_share", "settings")

    def __init__(self, settings: Retries) -> None:
        """Begin with the least that ``settings`` allow."""
        self.settings = settings
        self._share = settings.budget_share
        self._left = float(settings.budget_min)
        self._most = max(self._left, self._share * _LOOK_BACK)

    def request(self) -> None:
        """Note a request, retried or not."""
        self._left = min(self._left + self._share, self._most)

    def failed(self, tried: int) -> None:
        """Note a request that failed at ``tried`` replicas: after the first it was a retry."""
        if tried > 1:
            self._left -= 1

    def allows(self, tried: int) -> bool:
        """Say whether a request that failed at ``tried`` replicas may go to one more."""
        return tried < self.settings.attempts and self._left >= 1 - _ROUNDING


class RetryBudgets:
    """The budgets of all models of a worker."""

    def __init__(self) -> None:
        """Begin with none."""
        self._budgets: dict[str, RetryBudget] = {}

    def of(self, model: str, settings: Retries) -> RetryBudget:
        """Return the budget of ``model``, a new one when its settings changed."""
        budget = self._budgets.get(model)
        if budget is None or budget.settings != settings:
            budget = self._budgets[model] = RetryBudget(settings)
        return budget
