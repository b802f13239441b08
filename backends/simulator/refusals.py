"""How an endpoint refuses, and what it says when something of its own breaks."""

from collections.abc import Callable
from dataclasses import dataclass

from backends.simulator.errors import Refused, bad_request


def as_it_is(refused: Refused) -> Refused:
    """Refuse in the words in which the others do."""
    return refused


@dataclass(frozen=True, slots=True)
class Refusals:
    """One endpoint's; the defaults are those of completions and chat."""

    shape: Callable[[Refused], Refused] = as_it_is
    """Gives a refusal the form that this endpoint's clients know."""
    fault: Callable[[str], Refused] = bad_request
    """Refuses for a fault of the server's own, told by its message."""
    death: tuple[int, bytes] = (200, b"null")
    """Status and body when the executor dies before the answer; then the server ends."""

    def of_fault(self, message: str) -> Refused:
        """Refuse for a fault of the server's own, in form."""
        return self.shape(self.fault(message))


PLAIN = Refusals()
