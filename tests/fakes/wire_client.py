"""An HTTP/1.1 client that sends what a test says, byte by byte, and reads strictly.

Answers are read by h11, which takes nothing but correct framing, in the order of the requests.
"""

import asyncio
import json
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET, socket

import h11

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    announced: list[int]
    """Statuses of 1xx answers before it."""

    @property
    def json(self):
        return json.loads(self.body)


def request(path="/echo", body=b"", *, method="POST", version="1.1", more=()):
    """Return a request as bytes; ``body`` None: the test sends what follows the head."""
    length = [] if body is None else [f"content-length: {len(body)}"]
    lines = [f"{method} {path} HTTP/{version}", "host: localhost", *length, *more, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def chunked(*parts):
    """Return a request's chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class WireClient:
    """One connection to a server."""

    def __init__(self, sock):
        self.sock = sock
        self.unread = b""
        """What came after the last answer that was read."""
        self._loop = asyncio.get_running_loop()

    async def send(self, data):
        async with asyncio.timeout(DEADLINE_S):
            await self._loop.sock_sendall(self.sock, data)

    async def more(self):
        """Return what arrives next; nothing at the end of the connection."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                return await self._loop.sock_recv(self.sock, 65536)
            except ConnectionError:
                return b""

    async def answer(self, method="POST"):
        """Read the next answer, strictly."""
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        reader.send(h11.EndOfMessage())
        status, headers, parts, announced = 0, {}, [], []
        if self.unread:  # nothing would mean the end
            reader.receive_data(self.unread)
            self.unread = b""
        while True:
            match reader.next_event():
                case h11.NEED_DATA:
                    reader.receive_data(await self.more())
                case h11.InformationalResponse() as event:
                    announced.append(event.status_code)
                case h11.Response() as event:
                    status, headers = event.status_code, dict(event.headers)
                case h11.Data() as event:
                    parts.append(bytes(event.data))
                case h11.EndOfMessage():
                    self.unread = reader.trailing_data[0]
                    return Reply(status, headers, b"".join(parts), announced)
                case other:
                    raise AssertionError(f"no answer but {other}")

    async def until(self, mark):
        """Read until ``mark`` came; what was read stays to be read by `answer`."""
        while mark not in self.unread:
            part = await self.more()
            assert part, f"the connection ended before {mark!r}: {self.unread!r}"
            self.unread += part

    async def ended(self):
        """Whether the server ended the connection after the last answer, with nothing more."""
        return (self.unread, await self.more()) == (b"", b"")

    def close(self):
        self.sock.close()

    def reset(self):
        """End by force."""
        self.sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@asynccontextmanager
async def wired(port, *, receive_buffer=None):
    """Connect to a port of this machine."""
    with socket() as sock:
        if receive_buffer is not None:
            sock.setsockopt(SOL_SOCKET, SO_RCVBUF, receive_buffer)
        sock.setblocking(False)  # noqa: FBT003 - the library's signature
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield WireClient(sock)
