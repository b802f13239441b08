"""Clients that never rest: each stream is held against its true text.

What they count is what a restart must leave at 0: refused, cut, untrue.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from tests.system.streaming import Streamed, stream

CHAT = "/v1/chat/completions"
_MOST_PAUSE_S = 1.0
_MOST_NOTES = 10


@dataclass
class Load:
    """What clients ask, what they ought to get, and what they got."""

    url: str
    truths: Sequence[tuple[Mapping[str, Any], str]]
    """Request and the text of its answer."""
    rng: Random = field(default_factory=lambda: Random(7))
    seen: Counter[str] = field(default_factory=Counter)
    live: int = 0
    """Streams that run."""
    notes: list[str] = field(default_factory=list)
    """The first ones that went wrong, in words."""

    def figures(self) -> dict[str, int]:
        """Return the counts, those that are 0 too."""
        names = (
            "streams",
            "requests_on_kept_connections",
            "refused",
            "cut",
            "untrue",
            "errors",
        )
        return {name: self.seen[name] for name in names}

    @property
    def harm(self) -> dict[str, int]:
        """Return what no restart may do."""
        return {
            name: n for name in ("refused", "cut", "untrue", "errors") if (n := self.seen[name])
        }

    def _wrong(self, what: str, note: str) -> None:
        self.seen[what] += 1
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(f"{time.strftime('%H:%M:%S')} {what}: {note}")

    async def streams(self, rest: asyncio.Event) -> None:
        """Ask for one stream after the other, each on a new connection."""
        while not rest.is_set():
            body, text = self.rng.choice(self.truths)
            self.live += 1
            began_at = time.monotonic()
            try:
                got = await stream(self.url, CHAT, dict(body))
            except OSError as problem:
                waited_s = time.monotonic() - began_at
                self._wrong("refused", f"after {waited_s:.1f} s: {problem!r}")
                await asyncio.sleep(0.01)
            else:
                self._judge(got, text)
            finally:
                self.live -= 1

    def _judge(self, got: Streamed, text: str) -> None:
        self.seen["streams"] += 1
        if got.status == 0:
            self._wrong("refused", "closed before its status")
        elif got.status != 200 or got.error is not None:
            self._wrong("errors", f"{got.status}, {got.payloads[-1:]}")
        elif not got.complete:
            self._wrong("cut", f"after {len(got.text)} of {len(text)} characters")
        elif got.text != text:
            self._wrong("untrue", f"{got.text!r} for {text!r}")

    async def kept(self, rest: asyncio.Event) -> None:
        """Send one request after the other on a connection, until told to open another."""
        place = urlsplit(self.url)
        while not rest.is_set():
            try:
                reader, writer = await asyncio.open_connection(place.hostname, place.port)
            except OSError as problem:
                self._wrong("refused", repr(problem))
                await asyncio.sleep(0.01)
                continue
            try:
                while not rest.is_set():
                    if not await self._once(reader, writer, place.netloc):
                        break
                    await asyncio.sleep(self.rng.uniform(0, _MOST_PAUSE_S))
            except (OSError, asyncio.IncompleteReadError) as problem:
                self._wrong("cut", f"a kept connection: {problem!r}")
            finally:
                writer.close()

    async def _once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> bool:
        body, text = self.truths[0]
        data = json.dumps({**body, "stream": False, "stream_options": None}).encode()
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        status = int((await reader.readuntil(b"\n")).split()[1])
        headers = {}
        while (line := (await reader.readline()).strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        answer = await reader.readexactly(int(headers["content-length"]))
        self.seen["requests_on_kept_connections"] += 1
        if status != 200:
            self._wrong("errors", f"{status}, {answer!r}")
        elif json.loads(answer)["choices"][0]["message"]["content"] != text:
            self._wrong("untrue", f"{answer!r} for {text!r}")
        return headers.get("connection") != "close"


@asynccontextmanager
async def loading(load: Load, *, streams: int, kept: int = 0) -> AsyncIterator[Load]:
    """Keep so many streams alive, and so many connections, in the block; then let them end."""
    rest = asyncio.Event()
    work: Sequence[Callable[[asyncio.Event], Any]] = [load.streams] * streams + [
        load.kept
    ] * kept
    tasks = [asyncio.ensure_future(each(rest)) for each in work]
    try:
        yield load
    finally:
        rest.set()
        await asyncio.gather(*tasks)


async def truths(
    replica_url: str, source: str, bodies: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any], str]]:
    """Return each body with the text that a replica itself answers."""
    direct = [stream(replica_url, CHAT, {**body, "model": source}) for body in bodies]
    answers = await asyncio.gather(*direct)
    assert all(answer.complete for answer in answers)
    return [(body, answer.text) for body, answer in zip(bodies, answers, strict=True)]
