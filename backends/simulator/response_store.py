"""Replies of ``/v1/responses`` that clients may fetch, delete and go on from.

Memory of one process, and little of it: the replica that gave a reply is the only one that
knows it, and forgets it when enough others were asked for since.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = Sequence[Mapping[str, Any]]
"""Messages as ``/v1/chat/completions`` takes them."""
CAPACITY = 16


@dataclass(frozen=True, slots=True)
class Stored:
    """One reply."""

    body: bytes
    conversation: Conversation
    """All turns up to its own."""


class ResponseStore:
    """Keeps the replies that were used last."""

    def __init__(self, *, enabled: bool = True, capacity: int = CAPACITY) -> None:
        self.enabled = enabled
        self._capacity = capacity
        self._kept: OrderedDict[str, Stored] = OrderedDict()

    def keep(self, response_id: str, stored: Stored) -> None:
        """Keep a reply; where there is no room, forget the one not used for longest."""
        self._kept[response_id] = stored
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

    def get(self, response_id: str) -> Stored | None:
        """Return a reply, which counts as a use of it."""
        stored = self._kept.get(response_id)
        if stored is not None:
            self._kept.move_to_end(response_id)
        return stored

    def delete(self, response_id: str) -> bool:
        """Forget a reply; False when it was not there."""
        return self._kept.pop(response_id, None) is not None
