"""A client at the ASGI level: sees each body chunk when it is sent, and can stop reading."""

import asyncio
import json
from typing import Any


class StreamingClient:
    """Drives an ASGI app by hand; Litestar's and httpx's test clients buffer the body."""

    def __init__(self, app: Any, *, stall_after: int | None = None) -> None:
        self.app = app
        self.stall_after = stall_after
        self.stalled = asyncio.Event()
        self.gone = asyncio.Event()
        self.begun = asyncio.Event()
        """Part of the answer's body came."""
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.chunks: list[bytes] = []
        self.ended = False
        self._body: list[bytes] = []

    async def post(
        self,
        path: str,
        body: bytes | list[bytes],
        *,
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> None:
        self._body = [body] if isinstance(body, bytes) else list(body)
        given = {"content-type": "application/json", "host": "localhost"} | (headers or {})
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
            "method": method, "scheme": "http", "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "client": ("test", 1), "server": ("gw", 80),
            "headers": [(k.encode(), v.encode("latin-1")) for k, v in given.items()],
        }  # fmt: skip
        await self.app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            body = self._body.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._body)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        assert not self.ended, "a message after the end of the answer"
        if message["type"] == "http.response.start":
            assert self.status is None, "a second status line"
            self.status = message["status"]
            self.headers = dict(message["headers"])
            return
        if message["body"]:
            self.chunks.append(message["body"])
            self.begun.set()
        self.ended = not message["more_body"]
        if self.stall_after is not None and len(self.chunks) >= self.stall_after:
            self.stalled.set()
            await asyncio.Event().wait()

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def error(self) -> dict[str, Any]:
        """The error of a whole reply, or of the last event of a stream."""
        last = self.body.rstrip(b"\n").rpartition(b"\n")[2].removeprefix(b"data: ")
        return json.loads(last)["error"]

    @property
    def text(self) -> str:
        """The text of the stream's choices."""
        events = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")]
        choices = [c for event in events for c in json.loads(event).get("choices", ())]
        return "".join(choice["text"] for choice in choices)
