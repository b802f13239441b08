"""The data port's connection without a socket: bytes go in, and what was served comes out."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from gateway.dataplane.client import ClientLeft
from gateway.dataplane.serving import SpliceProtocol
from gateway.dataplane.watch import PortLimits

DIRECT = b"/direct"
"""What is served past uvicorn; all else it serves itself."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Served:
    """A request as the application got it, whole."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Port:
    """One connection, and the application behind it."""

    def __init__(self, loop: Any) -> None:
        self.served: list[Served] = []
        self.loop = loop
        self.line = _Line()
        config = uvicorn.Config(
            self._asgi, interface="asgi3", loop="none", ws="none", lifespan="off",
            access_log=False, log_config=None, server_header=False, date_header=False,
            proxy_headers=False,
        )  # fmt: skip
        config.load()
        self._connection = SpliceProtocol(
            spliced={DIRECT: self._direct},
            config=config,
            server_state=ServerState(),
            app_state={},
            _loop=loop,
            watch=_Unwatched(loop),
        )
        self._connection.connection_made(self.line)

    def feed(self, *parts: bytes) -> None:
        """Let each arrive when all before it was answered."""
        for part in parts:
            if not self.line.ended:
                self._connection.data_received(part)
                self._turn()

    def close(self) -> None:
        """Let the client leave."""
        self._connection.connection_lost(None)
        self._turn()
        assert not asyncio.all_tasks(self.loop), "a request outlived its connection"

    @property
    def statuses(self) -> list[int]:
        """Of all answers so far, those that only ask for the body aside."""
        return [code for code in map(int, _STATUS.findall(self.line.written)) if code != 100]

    def _turn(self) -> None:
        """Run all that can go on without another byte."""
        while self.loop._ready:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    async def _direct(self, client: Any) -> None:
        try:
            body = await client.body(declared=None, limit=_LIMIT)
        except ClientLeft:
            return
        self.served.append(Served(b"POST", DIRECT, tuple(client.sent), body))
        await client.reply(200, b"{}")

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        target = scope["raw_path"] + query
        headers = tuple(map(tuple, scope["headers"]))
        self.served.append(Served(scope["method"].encode(), target, headers, body))
        start = {"type": "http.response.start", "status": 200}
        await send(start | {"headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


class _Unwatched:
    """A watch that never ends a wait."""

    limits = PortLimits()
    ending = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def wait(self, connection: Any, seconds: float) -> None:
        connection.due = self._loop.time() + seconds

    def forget(self, connection: Any) -> None:
        connection.due = None


class _Line(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.ended, "something was said after the last word"
        self.written += bytes(data)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        pass
