"""Why the fleet refuses to do what was asked; the admin API turns each into one problem.

Every message stands alone: what is wrong, and what would help.
"""

from backends.plan import Refusal


class FleetError(Exception):
    """Base of every refusal; nothing was changed."""


class UnknownReplica(FleetError):  # noqa: N818 - names the condition
    """No replica has that id."""

    def __init__(self, replica_id: str) -> None:
        """Name the id that was asked for."""
        super().__init__(f"there is no replica {replica_id!r}; list them at /admin/replicas")


class UnknownModel(FleetError):  # noqa: N818 - names the condition
    """No model has that name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        """Name what was asked for and what there is."""
        listed = ", ".join(known) or "none"
        super().__init__(f"there is no model {name!r}; configured are: {listed}")


class UnknownOperation(FleetError):  # noqa: N818 - names the condition
    """No operation has that id, or it is too old to be remembered."""

    def __init__(self, operation_id: str) -> None:
        """Name the id that was asked for."""
        super().__init__(f"there is no operation {operation_id!r}; the last 1,000 are kept")


class UnknownLauncher(FleetError):  # noqa: N818 - names the condition
    """The request names a launcher that this gateway does not have."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        """Name what was asked for and what there is."""
        super().__init__(f"there is no launcher {name!r}; this gateway has: {', '.join(known)}")


class PlanRefused(FleetError):  # noqa: N818 - names the condition
    """The model cannot be run here as asked."""

    def __init__(self, refusal: Refusal) -> None:
        """Carry the planner's reasons."""
        super().__init__(refusal.message)
        self.refusal = refusal


class IdempotencyConflict(FleetError):  # noqa: N818 - names the condition
    """The same Idempotency-Key came with another request."""

    def __init__(self, key: str) -> None:
        """Name the key."""
        super().__init__(
            f"Idempotency-Key {key!r} was used for another request within the last 24 hours;"
            " use a new key, or repeat the first request unchanged"
        )


class ReplicaLimit(FleetError):  # noqa: N818 - names the condition
    """More replicas were asked for than the model may have, or fewer than none."""


class NotPossibleNow(FleetError):  # noqa: N818 - names the condition
    """The replica's state or kind does not allow it."""


class BadUrl(FleetError):  # noqa: N818 - names the condition
    """A replica's address is not ``http://host:port``."""
