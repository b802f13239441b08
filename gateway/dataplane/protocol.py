"""uvicorn's HTTP/1.1 with limits: on a request's head, on its time, and on what breaks it.

Rule: a request that is refused never reaches the application, and its answer goes out after
those of the requests before it. The parser's callbacks (``on_...``) belong to this class; one
that serves requests in another way takes `head_came`, `body_came` and `message_came`.
It follows uvicorn's `HttpToolsProtocol` line by line where it takes its place, hence the pin on
uvicorn's minor version.
"""

import asyncio
import logging
from enum import Enum
from typing import Any

import httptools
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.core.errors import GatewayError, InvalidRequest
from gateway.core.http_rules import (
    body_problem,
    body_time_s,
    head_problem,
    head_without_offer,
    size_problem,
)
from gateway.dataplane.connection import ClientConnection
from gateway.dataplane.refused import reason, too_slow, whole_answer
from gateway.dataplane.watch import Watch

_MOST_QUEUED = 32
"""Requests that a client may send ahead of their answers."""
_LOG = logging.getLogger(__name__)


class Stage(Enum):
    """What the next byte of the client belongs to."""

    BETWEEN = "no request"
    HEAD = "a head"
    BODY = "a body"
    REFUSED = "nothing: it is read away"


class GuardedProtocol(ClientConnection):
    """A connection on which a request must be sound, not too large and in time."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        watch: Watch,
    ) -> None:
        """Serve under the limits of ``watch``."""
        super().__init__(config, server_state, app_state, _loop, watch=watch)
        self._limits = watch.limits
        self._stage = Stage.BETWEEN
        self._came = 0
        """Bytes that came of this head, or of this body."""
        self._counted = True
        """Whether `_came` has all of this head: not if it began behind another request."""
        self._was_held_back = False
        """Whether it could not go on when its time began."""
        self._body_bytes = 0
        self._body_from = 0.0
        """Loop time since when the body is waited for."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self.watch.wait(self, self._limits.header_s)

    @override
    def data_received(self, data: bytes) -> None:
        """Take what came; see what it lacks."""
        if self._stage is Stage.REFUSED:
            return
        if self._stage is Stage.BETWEEN:
            self._came, self._counted = 0, True
        self._came += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as problem:
            self._refuse(reason(problem))
            return
        if self._stage is not Stage.BETWEEN:
            self._see_to_the_rest()

    def _feed(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offered:
                rest = memoryview(rest)[offered.args[0] :]
            else:
                return
            # An offer that is not taken (RFC 9110, section 7.8). The parser has passed over the
            # body as if it were: it gets the head again without the offer, and then the body.
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self.parser.feed_data(head_without_offer(method, self.url, version, self.headers))

    def _see_to_the_rest(self) -> None:
        """See that what came is not too much, and that the rest comes."""
        problem: GatewayError | None
        if self._stage is Stage.HEAD:
            rules = self._limits.rules
            problem = size_problem(self.url, len(self.headers), self._came, rules)
        else:
            problem = body_problem(self._came, self._body_bytes)
        if problem is not None:
            self._refuse(problem)
        elif self.due is None:
            self._wait_for_client()

    @override
    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._stage, self.due = Stage.HEAD, None

    @override
    def on_headers_complete(self) -> None:
        """Let the request in, or raise why not: the parser carries it to `data_received`."""
        version = self.parser.get_http_version()
        problem = head_problem(
            self.parser.get_method(),
            self.url,
            version,
            self.headers,
            self._limits.rules,
            at_most=self._came if self._counted else None,
        )
        if problem is not None:
            raise problem
        if len(self.pipeline) >= _MOST_QUEUED:
            raise InvalidRequest(f"more than {_MOST_QUEUED} requests wait on this connection")
        if self.parser.should_upgrade():
            return  # the same head comes again
        self._stage, self.due = Stage.BODY, None
        self._came = self._body_bytes = 0
        self.expect_100_continue &= version == "1.1"
        self.head_came()
        self.headers = []  # for trailers: the request does not get them

    @override
    def on_body(self, body: bytes) -> None:
        """Count, and hand on."""
        self._body_bytes += len(body)
        self.body_came(body)

    @override
    def on_message_complete(self) -> None:
        """The next byte is another request's."""
        if self._stage is not Stage.BODY:
            return  # an offer to upgrade: the same head comes again
        self._stage, self.due = Stage.BETWEEN, None
        self._came, self._counted = 0, False
        self.message_came()
        front = self.front
        if front is not None and front is self.cycle and front.response_complete:
            self.watch.wait(self, self._limits.keep_alive_s)  # it was answered early

    def head_came(self) -> None:
        """Serve the request whose head was let in."""
        super().on_headers_complete()
        if self.watch.ending:
            self.cycle.keep_alive = False

    def body_came(self, body: bytes) -> None:
        """Take a part of the body."""
        super().on_body(body)

    def message_came(self) -> None:
        """Take the end of the body."""
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        """Go on to the next request that came, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.watch.wait(self, self._limits.keep_alive_s)  # for its last bytes to be read
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._stage is Stage.REFUSED:
            self.end()
        elif self._stage is Stage.BETWEEN:
            self.watch.wait(self, self._limits.keep_alive_s)

    @override
    def overdue(self, at: float) -> None:
        """End a wait for the client, unless it has more time than it seemed."""
        if self._stage is Stage.REFUSED or self.transport.is_closing():
            super().overdue(at)
        elif self._stage is Stage.BETWEEN:
            self.close()
        elif self._was_held_back or self._is_held_back():
            self._wait_for_client()
        elif self._stage is Stage.HEAD:
            self._refuse(too_slow("head", self._limits.header_s))
        else:
            self._body_overdue(at)

    def _wait_for_client(self) -> None:
        """Give the client the time that it has for what it began to send."""
        self._was_held_back = self._is_held_back()
        if self._stage is Stage.HEAD:
            self.watch.wait(self, self._limits.header_s)
        else:
            self._body_from = self.loop.time()
            self.watch.wait(self, self._limits.body_s)

    def _is_held_back(self) -> bool:
        """Whether the client could not go on, or may not."""
        if self.flow.read_paused:
            return True
        return self._stage is Stage.BODY and self.cycle.waiting_for_100_continue

    def _body_overdue(self, at: float) -> None:
        allowed_s = body_time_s(self._limits.body_s, self._body_bytes)
        left_s = self._body_from + allowed_s - at
        if self.cycle.response_complete:  # what is left of it is for nobody
            self._stage = Stage.REFUSED
            self.end()
        elif left_s > 0:
            self.watch.wait(self, left_s)
        else:
            self._refuse(too_slow("body", allowed_s))

    def _refuse(self, error: GatewayError) -> None:
        """Take nothing more; answer once the requests before have their answers."""
        _LOG.info("a request of %s was refused: %s", self.client, error)
        in_body = self._stage is Stage.BODY
        self._stage, self.due = Stage.REFUSED, None
        words = b""
        if not in_body or self.give_up_request():
            words = whole_answer(
                error,
                self._limits.show,
                self.server_state.default_headers,
                bare=self.parser.get_method() == b"HEAD",
            )
        self.end_with(words)
