"""A replica whose chat answers are as long as asked for, sent as fast as they are taken.

Runs as a process of its own, ``python -m tests.fakes.long_answers PORT``, and tells at
``/held`` how far it came. Each event names its request and its place: who reads the answer can
tell whether all of it came, in order, and nothing of another's.
"""

import asyncio
import json
import re
import socket
import sys
from dataclasses import asdict, dataclass

from tests.fakes.replica import DONE, LAST, STREAM, chunk, counts, reply

MODEL = "source"
TEXT_BYTES = 1000
_NUMBER = re.compile(rb"Question (\d+)")
_KEEP_ALIVE_S = 5
"""As trtllm-serve."""
_PER_WRITE = 32
_SEND_BUFFER_BYTES = 65_536
_FACTS = {
    "/health": {},
    "/version": {"version": "1.2.0"},
    "/server_info": {},
    "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model"}]},
    "/metrics": [],
}


def text_of(number, place):
    """Return the text of one event of the answer to question ``number``."""
    return b"<%d:%d>" % (number, place) + b"x" * TEXT_BYTES


def _event(number, place, finish=b"null"):
    body = b'"object":"chat.completion.chunk","created":1,"model":"source"'
    delta = b'{"index":0,"delta":{"content":"%b"},"finish_reason":%b}'
    choice = delta % (text_of(number, place), finish)
    return b'data: {"id":"chatcmpl-1",%b,"choices":[%b]}\n\n' % (body, choice)


@dataclass
class Counts:
    """How far the streams came."""

    asked: int = 0
    """Streams that were asked for."""
    held: int = 0
    """Those that wait for room to send more."""
    sent: int = 0
    """Those that were sent whole."""
    events: int = 0
    """Of all streams, handed to the kernel."""


class LongAnswers:
    """Serves one connection after the other, each in a task of its own."""

    def __init__(self):
        self.counts = Counts()

    async def serve(self, reader, writer):
        try:
            while True:
                async with asyncio.timeout(_KEEP_ALIVE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                await self._answer(head.split()[1].decode(), body, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # whoever asked is gone, or asks no more
        finally:
            writer.close()

    async def _answer(self, path, body, writer):
        if path == "/v1/chat/completions":
            await self._stream(json.loads(body)["max_tokens"], body, writer)
            return
        facts = {**_FACTS, "/held": asdict(self.counts)}
        if path == "/v1/completions":  # the probe that wants a token
            writer.write(reply())
        elif path in facts:
            writer.write(reply(json.dumps(facts[path]).encode()))
        else:
            writer.write(reply(b"{}", status=404))
        await writer.drain()

    async def _stream(self, events, body, writer):
        number = int(_NUMBER.search(body)[1])
        self.counts.asked += 1
        writer.write(STREAM)
        for start in range(0, events - 1, _PER_WRITE):
            places = range(start, min(start + _PER_WRITE, events - 1))
            await self._send(b"".join(chunk(_event(number, p)) for p in places), writer)
            self.counts.events += len(places)
        last = _event(number, events - 1, b'"stop"'), counts(1, events), DONE
        await self._send(b"".join(map(chunk, last)) + LAST, writer)
        self.counts.sent += 1

    async def _send(self, data, writer):
        writer.write(data)
        self.counts.held += 1  # seen by others only where the next line has to wait
        try:
            await writer.drain()
        finally:
            self.counts.held -= 1
        await asyncio.sleep(0)  # drain returns at once while there is room


async def _main(port):
    sock = socket.create_server(("127.0.0.1", port), backlog=1024)
    # Accepted connections have it too. With hundreds of them the kernel would else come to the
    # end of what it has for all sockets together.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    server = await asyncio.start_server(LongAnswers().serve, sock=sock)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
