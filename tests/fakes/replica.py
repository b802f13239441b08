"""A replica that answers from a script, byte by byte, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

from backends.replica import ReplicaId
from gateway.core.snapshot import ReplicaView

REPLY = (
    b'{"id":"cmpl-1","object":"text_completion","created":1,"model":"source","choices":'
    b'[{"index":0,"text":"whole","finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}}'
)
LAST = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


class Step(Enum):
    """What a script may do other than to send bytes."""

    STALL = "say nothing more, and wait until the peer closes"
    CLOSE = "end the connection in an orderly way"
    RESET = "end it by force"


@dataclass(frozen=True, slots=True)
class Flood:
    """Send ``piece`` over and over, as fast as it is taken, until the peer closes."""

    piece: bytes


Script = Sequence[bytes | Step | Flood | asyncio.Event]


def head(status=200, *, kind=b"text/event-stream", more=b""):
    return b"HTTP/1.1 %d X\r\ncontent-type: %b\r\n%b\r\n" % (status, kind, more)


STREAM = head(more=b"transfer-encoding: chunked\r\n")


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def says(text, *, index=0, finish=None):
    choice = {"index": index, "text": text, "finish_reason": finish}
    body = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "source"}
    return b"data: " + json.dumps(body | {"choices": [choice]}).encode() + b"\n\n"


def counts(prompt, completion):
    usage = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    return b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"


def reply(body=REPLY, status=200, more=b""):
    """Return a whole answer."""
    length = b"content-length: %d\r\n" % len(body)
    return head(status, kind=b"application/json", more=length + more) + body


def stream(*texts):
    """Return a complete stream, one event in each chunk."""
    events = [says(text) for text in texts[:-1]] + [says(texts[-1], finish="stop")]
    wire = b"".join(map(chunk, [*events, counts(1, len(texts)), DONE]))
    return STREAM + wire + LAST


@dataclass(slots=True)
class ScriptedReplica:
    """Plays one script for each request that it gets; the last one again and again."""

    scripts: list[Script]
    name: str = "r0"
    dialect: str = "1.1"
    column: int = 0
    concurrency: int | None = None
    instead: tuple[Callable[[dict], bool], Script] | None = None
    """Which bodies get another script, and that."""
    port: int = 0
    connections: int = 0
    open: int = 0
    requests: list[tuple[bytes, dict | None]] = field(default_factory=list)
    """Head and decoded body of each; None for an empty body."""
    bodies: list[bytes] = field(default_factory=list)
    """Each body as it came."""
    sent_bytes: int = 0
    left: int = 0
    """How often the peer closed before the script was over."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def view(self):
        return ReplicaView(
            id=ReplicaId(self.name),
            host="127.0.0.1",
            port=self.port,
            source="source",
            dialect=self.dialect,
            column=self.column,
            concurrency=self.concurrency,
        )

    @property
    def asked(self) -> list[str]:
        """Method and route of each request."""
        return [head.split(b" HTTP")[0].decode() for head, _ in self.requests]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["ScriptedReplica"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await settled(lambda: self.open == 0)

    def hang_up(self):
        """Close every connection, as a server does whose keep-alive ran out."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        try:
            while (request := await _request(reader)) is not None:
                start, body = request
                self.requests.append((start, json.loads(body or b"null")))
                self.bodies.append(body)
                if not await self._play(self._script(), reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left += 1
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()

    def _script(self):
        """Return the script for the newest request."""
        if self.instead is not None:
            chosen, script = self.instead
            if chosen(self.requests[-1][1]):
                return script
        return self.scripts[min(len(self.requests), len(self.scripts)) - 1]

    async def _play(self, script, reader, writer):
        """Return whether the connection may carry another request."""
        for step in script:
            if step is Step.CLOSE:
                return False
            await self._take(step, reader, writer)
        return True

    async def _take(self, step, reader, writer):
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case asyncio.Event():
                await step.wait()
            case Flood():
                await self._flood(step.piece, reader, writer)
            case Step.STALL:
                await reader.read()
                raise ConnectionResetError
            case Step.RESET:
                writer.transport.abort()

    async def _flood(self, piece, reader, writer):
        while not reader.at_eof():
            writer.write(piece)
            self.sent_bytes += len(piece)
            await writer.drain()
            await asyncio.sleep(0)  # drain returns at once while the buffer is low
        raise ConnectionResetError


async def _request(reader):
    try:
        start = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lengths = [
        int(line.partition(b":")[2])
        for line in start.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    if not lengths:  # not the gateway: someone who seeks whoever had this port before
        return None
    (length,) = lengths
    return start, await reader.readexactly(length)


async def settled(condition, *, within_s=20.0):
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.005)


def answering(*scripts: Script, **known) -> ScriptedReplica:
    """Return a replica with one script for each request."""
    return ScriptedReplica([*scripts], **known)
