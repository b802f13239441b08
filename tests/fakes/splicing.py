"""One answer on its way through a `Splice`, arrival by arrival, with no socket and no sleep."""

import asyncio
import json
from functools import lru_cache

from gateway.core.stream import AnswerStream
from gateway.dataplane.answer import Answer
from gateway.dataplane.direct import DirectClient
from gateway.dataplane.splice import Splice
from gateway.dataplane.upstream_connection import Connection
from tests.fakes.line import Line
from tests.unit.core.transcripts import completion, identity

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%b\r\n"
CHUNKED = HEAD % b"transfer-encoding: chunked\r\n"
LAST = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def says(text, *, finish=None, number=7):
    """Return an event as trtllm-serve writes it: without spaces."""
    choice = {"index": 0, "text": text, "finish_reason": finish}
    body = {"id": f"cmpl-{number}", "object": "text_completion", "created": 1, "model": "m"}
    body["choices"] = [choice]
    rest = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return b"data: " + rest.encode() + b"\n\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


@lru_cache
def _asked(more):
    return completion(b',"stream":true' + more)


class Replica:
    """The transport of a connection to a replica, and the pool that it belongs to."""

    def __init__(self):
        self.reading = True
        self.aborted = False
        self.kept = 0

    def writelines(self, parts):
        pass

    def is_closing(self):
        return self.aborted

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def abort(self):
        self.aborted = True

    def keep(self, connection):  # noqa: ARG002 - the pool's signature
        self.kept += 1

    def forget(self, connection):
        pass


class Splicing:
    """A replica's connection, the splice, and the client's."""

    def __init__(self, *, loop, clock=None, request=b"", **known):
        self.replica = Replica()
        self.now = 0.0
        self.clock = clock or (lambda: self.now)
        self.line = Line(**known)
        self.firsts = []
        self.client = DirectClient(
            self.line, "POST", [], loop=loop, keep_alive=True, expects_continue=False
        )
        self.connection = Connection(self.replica, self.clock, loop)
        self.connection.connection_made(self.replica)
        self.answer = Answer(self.connection, loop, self.clock, connect_s=None)
        self.connection.ask((b"",), self.answer, write_s=60)
        self.stream = AnswerStream(_asked(request), identity())
        self.splice = Splice(self.answer, self.stream, self.client, self.firsts.append)
        self.client._splice = self.splice

    def divert(self, *, lane=True):
        """Begin, as `Splice.run` does."""
        self.answer.divert(self.splice.take, self.splice.lane if lane else None)

    def arrive(self, *reads):
        """Let each come a second after the one before."""
        for read in reads:
            self.now += 1
            self.connection.data_received(read)

    def relaying(self, patience):
        """Return a coroutine that serves the client to the end."""

        async def relay():
            self.client.task = asyncio.current_task()
            try:
                await self.client.relay(self.answer, self.stream, patience, self.firsts.append)
            finally:
                self.answer.close()

        return relay()

    @property
    def shown(self):
        """What the client got of the answer's body so far."""
        head, _, rest = self.line.written.partition(b"\r\n\r\n")
        assert not head or head.startswith(b"HTTP/1.1 200 OK\r\n")
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            assert rest[int(size, 16) :].startswith(b"\r\n")
            rest = rest[int(size, 16) + 2 :]
        return body

    @property
    def text(self):
        events = [e[6:] for e in self.shown.split(b"\n\n") if e.startswith(b"data: {")]
        choices = [c for event in events for c in json.loads(event).get("choices", ())]
        return "".join(choice["text"] for choice in choices)
