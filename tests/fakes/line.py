"""A server's connection that keeps what is written to it, and takes nothing once it is lost."""

import h11


class Line:
    """The connection and its transport in one."""

    def __init__(self, *, unread_bytes=0):
        self.default_lines = b"date: today\r\n"
        self.written = b""
        self.writes = 0
        self.closed = self.aborted = self.lost = False
        self.answers = 0
        self.reading = True
        self.unread_bytes = unread_bytes
        """What the client has not read yet."""
        self.on_write = lambda: None
        self.waits_drained = None
        """A future that ends when the client has read what was sent."""

    @property
    def transport(self):
        return self

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    async def drained(self):
        await self.waits_drained

    def answered(self):
        self.answers += 1

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True

    def get_write_buffer_size(self):
        return self.unread_bytes

    def writelines(self, parts):
        self.write(b"".join(parts))

    def write(self, data):
        assert not self.lost, "a write to a connection that is lost"
        self.written += data
        self.writes += 1
        self.on_write()

    def answer(self):
        """Read what was written as one whole answer: status, headers, body."""
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="POST", target="/", headers=[("host", "h")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(self.written)
        events = []
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, f"not a whole answer: {self.written!r}"
            events.append(event)
        assert reader.trailing_data[0] == b"", "more than an answer"
        body = b"".join(bytes(event.data) for event in events[1:])
        return events[0].status_code, dict(events[0].headers), body
