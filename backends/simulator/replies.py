"""Replies in one go, with the headers and in the order that Starlette gives them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
HTML = b"text/html; charset=utf-8"
MORE: Message = {"type": "http.response.body", "body": b"", "more_body": True}
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


async def send_body(
    send: Send, status: int, body: bytes = b"", *, kind: bytes | None = JSON
) -> None:
    """Send a whole reply; ``kind`` None sends no content type."""
    headers = [(b"content-length", b"%d" % len(body))]
    if kind is not None:
        headers.append((b"content-type", kind))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def start_events(send: Send) -> None:
    """Send the head of a streamed answer."""
    headers = [(b"content-type", EVENT_STREAM)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def read_body(receive: Receive) -> bytes | None:
    """Return the request's body; None when the client left before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
