"""Clients that ask for a long answer and leave it unread until they are told to read on."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from tests.fakes.long_answers import text_of

_LITTLE = 4096
_MUCH = 1 << 18
_TEXTS = re.compile(rb'"content":"([^"]*)"')
_DONE = b"data: [DONE]"
_END_OF_BODY = b"\r\n0\r\n\r\n"


class Unread:
    """One client; it has sent its request and read nothing."""

    def __init__(self, url: str, path: str, number: int, body: dict) -> None:
        """Ask question ``number`` of `tests.fakes.long_answers`."""
        self._number = number
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE)
        place = urlsplit(url)
        self.socket.connect((place.hostname, place.port))
        data = json.dumps({**body, "stream": True}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + data)

    async def read_on(self) -> tuple[int, bool]:
        """Read to the end.

        Returns:
            How many events came, each as it should be and in its place, and whether
            ``[DONE]`` and the end of the body came after them.

        Raises:
            AssertionError: an event was another's, or not in its place.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _MUCH)
        self.socket.setblocking(False)  # noqa: FBT003 - the library's signature
        loop = asyncio.get_running_loop()
        events, done, rest = 0, False, b""
        while not (done and rest == _END_OF_BODY):
            data = await loop.sock_recv(self.socket, _MUCH)
            if not data:
                return events, False
            whole, _, rest = (rest + data).rpartition(b"\n\n")
            texts = _TEXTS.findall(whole)
            due = [text_of(self._number, events + i) for i in range(len(texts))]
            assert texts == due, f"client {self._number}, from event {events} on"
            events += len(texts)
            done = done or whole.endswith(_DONE)
        return events, True


@contextmanager
def unread(url: str, path: str, bodies: list[dict]) -> Iterator[list[Unread]]:
    """Give one client for each body; they are closed at the end."""
    with ExitStack() as stack:
        clients = []
        for number, body in enumerate(bodies):
            client = Unread(url, path, number, body)
            stack.callback(client.socket.close)
            clients.append(client)
        yield clients
