"""A streaming client over a plain socket: sees each event as it comes, and can leave."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Streamed:
    """What one client saw."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    payloads: list[bytes] = field(default_factory=list)
    arrived_at: list[float] = field(default_factory=list)
    """When each payload came, seconds of `time.monotonic`."""
    comments: list[bytes] = field(default_factory=list)
    """Lines that are no events."""
    sent_at: float = 0.0
    left_at: float | None = None
    ended: bool = False
    """The body came to its proper end (last chunk of size 0)."""

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """Return the events that are JSON."""
        return [json.loads(p) for p in self.payloads if p != b"[DONE]"]

    @property
    def error(self) -> dict[str, Any] | None:
        """Return the error event, if there is one."""
        return next((c["error"] for c in self.chunks if "error" in c), None)

    @property
    def complete(self) -> bool:
        """Whether it looks complete: a finish reason, then [DONE], then the end."""
        reasons = [c["finish_reason"] for e in self.chunks for c in e.get("choices", [])
                   if c.get("finish_reason")]  # fmt: skip
        return self.ended and bool(reasons) and self.payloads[-1] == b"[DONE]"

    @property
    def text(self) -> str:
        """Return the text of choice 0."""
        parts = []
        for event in self.chunks:
            for choice in event.get("choices", []):
                part = choice.get("text") or (choice.get("delta") or {}).get("content")
                parts.append(part or "")
        return "".join(parts)

    @property
    def content_at(self) -> list[float]:
        """When each event with text came."""
        return [
            at
            for payload, at in zip(self.payloads, self.arrived_at, strict=True)
            if payload != b"[DONE]" and _has_text(json.loads(payload))
        ]

    def usage(self) -> dict[str, Any] | None:
        """Return the usage event."""
        return next((e["usage"] for e in self.chunks if e.get("usage")), None)


def _has_text(event: dict[str, Any]) -> bool:
    return any(
        c.get("text") or (c.get("delta") or {}).get("content") for c in event.get("choices", [])
    )


async def stream(
    url: str,
    path: str,
    body: dict[str, Any],
    *,
    leave_after: int | None = None,
    headers: dict[str, str] | None = None,
) -> Streamed:
    """Send ``body`` with ``stream`` on and read to the end, or close after so many events."""
    seen = Streamed(sent_at=time.monotonic())
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    data = json.dumps({**body, "stream": True}).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        f"{more}Content-Length: {len(data)}\r\n\r\n"
    )
    try:
        writer.write(head.encode() + data)
        await _read(reader, seen, leave_after)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # a cut: `ended` stays False
    finally:
        if leave_after is not None:
            seen.left_at = time.monotonic()
        writer.close()
    return seen


async def _read(reader: asyncio.StreamReader, seen: Streamed, leave_after: int | None) -> None:
    seen.status = int((await reader.readuntil(b"\n")).split()[1])
    while (line := (await reader.readline()).strip()) != b"":
        name, _, value = line.decode().partition(":")
        seen.headers[name.lower()] = value.strip()
    if "content-length" in seen.headers:
        seen.payloads.append(await reader.readexactly(int(seen.headers["content-length"])))
        seen.arrived_at.append(time.monotonic())
        seen.ended = True
        return
    rest = b""
    while size := int((await reader.readuntil(b"\n")).strip(), 16):
        rest += await reader.readexactly(size)
        await reader.readexactly(2)
        *events, rest = rest.split(b"\n\n")
        for event in events:
            if event.startswith(b"data:"):
                seen.payloads.append(event[5:].strip())
                seen.arrived_at.append(time.monotonic())
            elif event.startswith(b":"):
                seen.comments.append(event[1:].strip())
        if leave_after is not None and len(seen.payloads) >= leave_after:
            return
    seen.ended = True
