"""A server on a real socket with a path of each kind, and a record of what its handlers saw."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_SNDBUF, SOL_SOCKET

from gateway.api.server import HttpServer, bound_socket
from gateway.core.errors import InvalidApiKey, RequestTooLarge
from gateway.dataplane.client import ClientLeft
from tests.fakes.replica import settled

LIMIT = 1 << 20
EVENT = b"data: %d\n\n"


@dataclass
class SplicedServer:
    """Serves ``/echo``, ``/stream``, ``/refuse`` and ``/die`` directly, all else by ASGI."""

    write_s: float = 60.0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """What streams and the body of ``/wait`` wait for, after their first event."""
    port: int = 0
    server: HttpServer | None = None
    began: list[str] = field(default_factory=list)
    """Requests by the path that serves them, in order; ``asgi`` for those of the server."""
    ends: list[str] = field(default_factory=list)
    """What became of them."""
    clients: list = field(default_factory=list)

    @property
    def spliced(self):
        served = {
            "/echo": self._echo, "/stream": self._stream, "/refuse": self._refuse,
            "/die": self._die, "/wait": self._wait,
        }  # fmt: skip
        return {path.encode(): self._noting(path, serve) for path, serve in served.items()}

    def _noting(self, path, serve):
        async def noting(client):
            self.began.append(path)
            self.clients.append(client)
            try:
                await serve(client)
                self.ends.append("ok")
            except ClientLeft:
                self.ends.append("left")
            except RequestTooLarge as refusal:
                await client.fail(refusal)
                self.ends.append("too large")
            except asyncio.CancelledError:
                self.ends.append("cancelled")
                raise

        return noting

    async def _body(self, client):
        length = client.asked.get(b"content-length")
        return await client.body(declared=length and int(length), limit=LIMIT)

    async def _echo(self, client):
        await client.reply(200, await self._body(client))

    async def _wait(self, client):
        """Answer in one piece, when told."""
        body = await self._body(client)
        async with client.leaving(write_s=self.write_s):
            await self.go.wait()
            await client.reply(200, body)

    async def _stream(self, client):
        """Stream as many events as the body says, the rest of them when told."""
        count = int(await self._body(client))
        async with client.leaving(write_s=self.write_s):
            for number in range(count):
                if number == 1:
                    await self.go.wait()
                client.write(EVENT % number, last=number == count - 1)

    async def _refuse(self, client):
        """Answer without a look at the body."""
        await client.fail(InvalidApiKey("no"))

    async def _die(self, client):
        await client.ping()

    async def asgi(self, scope, receive, send):
        self.began.append("asgi")
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/wait":
            await self.go.wait()
        said = f"{scope['method']} {scope['path']} {scope['http_version']} ".encode() + body
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said})


@asynccontextmanager
async def spliced_server(*, send_buffer=None, **known):
    """Run one on a free port until the block ends.

    ``send_buffer``: what the kernel keeps for a client, in bytes; None: some megabytes.
    """
    served = SplicedServer(**known)
    served.server = HttpServer(served.asgi, spliced=served.spliced)
    with bound_socket("127.0.0.1", 0) as sock:
        if send_buffer is not None:  # connections inherit it
            sock.setsockopt(SOL_SOCKET, SO_SNDBUF, send_buffer)
        served.port = sock.getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.server.serve(sockets=[sock]))
            await settled(lambda: served.server.started)
            try:
                yield served
            except BaseException:
                served.server.force_exit = (
                    True  # a test that failed may have left anything open
                )
                raise
            finally:
                served.server.stop_accepting()
                served.go.set()
