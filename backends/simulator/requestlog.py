"""What became of recent requests, for tests that look from behind: ``GET /_sim/requests``.

All instants are seconds of one monotonic clock of this process.
"""

from collections import deque

import msgspec


class RequestEntry(msgspec.Struct):
    """One generation request."""

    id: int
    path: str
    received_at: float
    stream: bool = False
    prompt_tokens: int = 0
    tokens_sent: int = 0
    """Tokens whose bytes were handed to the socket."""
    status: int | None = None
    fault: str | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    """When the answer's last byte was handed to the socket."""
    closed_at: float | None = None
    """When the socket was seen closed with the answer unfinished."""
    aborted: bool = False
    """The engine was told to stop; up to a second after `closed_at`."""


class RequestLog:
    """Keeps the last requests."""

    def __init__(self, *, capacity: int = 4096) -> None:
        self._entries: deque[RequestEntry] = deque(maxlen=capacity)
        self._next_id = 1

    def open(self, path: str, at: float) -> RequestEntry:
        """Note a new request."""
        entry = RequestEntry(self._next_id, path, at)
        self._next_id += 1
        self._entries.append(entry)
        return entry

    @property
    def entries(self) -> list[RequestEntry]:
        """Return them, oldest first."""
        return list(self._entries)
