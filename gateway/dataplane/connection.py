"""A client's connection under uvicorn: how it ends, with requests that still wait on it or not.

Rule: the answers that are due go out first and in order, and the last one is not lost. A socket
that is closed with unread bytes resets its connection, and the reset overtakes what was sent
(RFC 9112, section 9.6): so what still comes is read away for a moment.
"""

import asyncio
from typing import Any

from typing_extensions import override
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.dataplane.watch import Watch

LINGER_S = 2.0
"""How long a connection that has ended may take to close."""


class ClientConnection(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        watch: Watch,
    ) -> None:
        """Wait for the client under the eye of ``watch``, which all connections share."""
        super().__init__(config, server_state, app_state, _loop)
        self.due: float | None = None
        self.watch = watch
        self.front: RequestResponseCycle | None = None
        """Is being answered, or was last; `cycle` is the one whose request came last."""
        self._last_words = b""

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, also if others wait behind it."""
        self.watch.forget(self)
        if self.front is not None and not self.front.response_complete:
            _abandon(self.front)
        super().connection_lost(exc)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.front = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered, and the connection is open."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self.transport.is_closing()

    def last_answers(self) -> None:
        """Close after the answers that are due; an idle connection stays open."""
        if not self.is_idle:
            self.cycle.keep_alive = False

    def overdue(self, at: float) -> None:  # noqa: ARG002 - what a watch calls
        """Be done with a connection that had its time to close."""
        self.transport.abort()

    def give_up_request(self) -> bool:
        """Leave the request that came last; tell whether its answer has yet to begin."""
        cycle = self.cycle
        if self.pipeline and self.pipeline[0][0] is cycle:  # it was not its turn yet
            self.pipeline.popleft()
            assert self.front is not None  # noqa: S101 - what it waited for
            self.cycle = self.front
            return True
        if cycle.response_complete:
            return False
        _abandon(cycle)
        return not cycle.response_started

    def end_with(self, words: bytes) -> None:
        """Say ``words`` after the answers that are due; `end` comes after the last of them."""
        self._last_words = words
        front = self.front
        if front is None or front.response_complete or front.disconnected:
            self.end()

    def end(self) -> None:
        """Say the last words, if any, and leave the client time to read them."""
        if self.transport.is_closing():
            return
        self.transport.write(self._last_words)
        self.transport.write_eof()
        self.flow.resume_reading()
        self.watch.wait(self, LINGER_S)

    def close(self) -> None:
        """Close when the client has read what was sent, or reads no more."""
        self.transport.close()
        self.watch.wait(self, LINGER_S)


def _abandon(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.message_event.set()
