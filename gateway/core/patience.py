"""How long a request may still wait, and for what; the fault when it waited too long.

Instants are seconds of one monotonic clock that the caller reads.
"""

import math

from gateway.core.errors import (
    AnswerTooLong,
    ClientDeadlinePassed,
    DeadlineExceeded,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
)
from gateway.core.snapshot import Timeouts

_ANSWER_SHARE = 0.05
_LONGEST_ANSWER_S = 0.5
"""Of the time that a client waits, what is left for the answer to reach it."""
_BYTES_PER_TOKEN = 4
"""A rough mean of English text, enough to give long prompts more time."""


class Patience:
    """The limits of one attempt."""

    __slots__ = (
        "_between_s",
        "_client_at",
        "_client_s",
        "_first_s",
        "_ping_s",
        "_total_at",
        "_total_s",
        "first_token_at",
        "ping_at",
    )

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        stream: bool,
        prompt_bytes: int,
        started_at: float,
        at: float,
        client_s: float | None = None,
    ) -> None:
        """Begin an attempt ``at`` of a request that ``started_at``.

        ``client_s``: how long the client waits for the first content, of an answer that is not
        streamed for all of it; None if it did not say.
        """
        thousands = prompt_bytes / _BYTES_PER_TOKEN / 1000
        first_s = timeouts.first_token_s + thousands * timeouts.first_token_per_1k_tokens_s
        self._total_s = timeouts.total_s if stream else timeouts.total_unstreamed_s
        self._total_at = started_at + self._total_s
        # An answer that is not streamed comes whole: its first token is not seen.
        self._first_s = first_s if stream else self._total_s
        self._client_s = client_s
        self._client_at = answered_by(started_at, client_s)
        self.first_token_at = min(at + self._first_s, self._total_at, self._client_at)
        """When the first content must have come (not streamed: all of it)."""
        self._between_s = timeouts.between_tokens_s
        self._ping_s = timeouts.ping_s
        self.ping_at = started_at + timeouts.header_commit_s if stream else self._total_at
        """When a client that still waits for its first content gets a sign of life."""

    def until_first(self) -> float:
        """Return when to look up from waiting for the first content."""
        return min(self.first_token_at, self.ping_at)

    def until_next(self, at: float) -> float:
        """Return when waiting for more content, from ``at`` on, has lasted too long."""
        return min(at + self._between_s, self._total_at)

    def pinged(self, at: float) -> None:
        """Note that a sign of life was sent ``at``."""
        self.ping_at = at + self._ping_s

    def fault(self, at: float, *, started: bool) -> UpstreamError | None:
        """Return what to report when waiting ended ``at`` with nothing.

        None if it may go on.
        """
        if not started and at >= self._client_at:
            return ClientDeadlinePassed(
                f"nothing came within the {self._client_s:g} s that the client waits"
            )
        if at >= self._total_at:
            kind = AnswerTooLong if started else DeadlineExceeded
            return kind(f"the answer took longer than the {self._total_s:g} s allowed")
        if started:
            return UpstreamStalled(f"the replica sent nothing for {self._between_s:g} s")
        if at >= self.first_token_at:
            return UpstreamTimeout(f"the replica sent no token within {self._first_s:.4g} s")
        return None


def answered_by(started_at: float, client_s: float | None) -> float:
    """Return when a client that waits ``client_s`` must have its answer; inf without any."""
    if client_s is None:
        return math.inf
    return started_at + client_s - min(client_s * _ANSWER_SHARE, _LONGEST_ANSWER_S)
