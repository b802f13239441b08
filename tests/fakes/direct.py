"""A client on a connection that is written to directly: the same as `StreamingClient` else."""

import asyncio

import httptools

from gateway.dataplane.direct import DirectClient
from tests.fakes import line
from tests.fakes.client import StreamingClient


class DirectStreamingClient(StreamingClient):
    """Plays the server's connection, and reads what is written to it as HTTP."""

    async def post(self, path, body, *, headers=None, method="POST"):
        serve = self.app.spliced.get(path.encode())
        if serve is None:
            await super().post(path, body, headers=headers, method=method)
            return
        given = {"content-type": "application/json", "host": "localhost"} | (headers or {})
        loop = asyncio.get_running_loop()
        connection = Line(self)
        client = connection.client = DirectClient(
            connection,
            method,
            [(k.encode(), v.encode("latin-1")) for k, v in given.items()],
            loop=loop,
            keep_alive=True,
            expects_continue=False,
        )
        parts = [body] if isinstance(body, bytes) else list(body)
        for part in parts:
            client.body_parts.came(part)
        if parts:
            client.body_parts.ended()
        async with asyncio.TaskGroup() as tasks:
            leaving = tasks.create_task(self._leave_when_told(client))
            client.task = tasks.create_task(serve(client))
            try:
                await client.task
            finally:
                leaving.cancel()

    async def _leave_when_told(self, client):
        await self.gone.wait()
        client.lost()


class Line(line.Line):
    """The server's connection, which a reader reads on the way."""

    def __init__(self, reader):
        super().__init__(unread_bytes=1)
        self.reader = reader
        self.client = None
        self._parser = httptools.HttpResponseParser(self)

    async def drained(self):
        await self.reader.gone.wait()

    def write(self, data):
        assert not self.client.gone, "a write to a client that is gone"
        self._parser.feed_data(data)
        reader = self.reader
        if reader.stall_after is not None and len(reader.chunks) >= reader.stall_after:
            reader.stalled.set()
            self.client.writing_paused()

    # What httptools calls.

    def on_header(self, name, value):
        self.reader.headers[name] = value

    def on_headers_complete(self):
        status = self._parser.get_status_code()
        if status >= 200:
            assert self.reader.status is None, "a second status line"
            self.reader.status = status

    def on_body(self, body):
        assert not self.reader.ended, "more after the end of the answer"
        self.reader.chunks.append(body)
        self.reader.begun.set()

    def on_message_complete(self):
        if self.reader.status is not None:
            self.reader.ended = True
