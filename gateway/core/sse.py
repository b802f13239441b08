"""Cut a byte stream into Server-Sent Events without decoding it.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
Reads do not line up with events: the tail of an unfinished one is kept, and only whole events
come out. trtllm-serve ends lines with LF; CRLF is understood. A lone CR ends a line too, as the
standard has it and as clients read it, but no replica writes it: here it is an event that was
damaged, and so is a line of an unknown field, which the standard passes over. To pass over
those would leave a hole in the answer, or hand out what its reader takes for something else.
"""

from gateway.core.errors import UpstreamProtocolError

DONE = b"[DONE]"
"""Payload with which OpenAI-style servers close a stream."""

DAMAGED = b"?"
"""Payload of an event that is none of a replica's: no reader takes it for JSON."""

MOST_HELD_BYTES = 64 << 20
"""Of events that a stream holds back until its first content: a few of the longest."""

_DATA = b"data:"
_CR, _LF = b"\r\n"
"""A number is looked for ten times as fast as the byte."""
_BEGINS = (b"data: {", b"data: [")
_ENDS = (b"}\n\n", b"]\n\n")
_FIELDS = frozenset({b"", b"data", b"event", b"id", b"retry"})
"""The one without a name is a comment."""


class SseReader:
    """Feed bytes, get the ``data`` payload of each event that became complete."""

    __slots__ = ("_max_event", "_size", "_tail")

    def __init__(self, *, max_event: int = 16 << 20) -> None:
        """Refuse events longer than ``max_event`` bytes."""
        self._tail: list[bytes] = []
        """What came of an event that is not whole."""
        self._size = 0
        self._max_event = max_event

    @property
    def unfinished(self) -> bool:
        """Whether part of an event waits for its rest."""
        return bool(self._tail)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the payloads completed by ``chunk``, oldest first; comments give none.

        Raises:
            UpstreamProtocolError: an event grew past the limit without ending.
        """
        # What trtllm-serve writes for each event is nearly always what one read brings.
        if (
            chunk.find(b"\n") == len(chunk) - 2
            and chunk.startswith(_BEGINS)
            and chunk.endswith(_ENDS)
            and not self._tail
            and _CR not in chunk
        ):
            return [chunk[6:-2]]
        after_cr = bool(self._tail) and self._tail[-1].endswith(b"\r")
        self._tail.append(chunk)
        self._size += len(chunk)
        events: list[bytes] = []
        # Else nothing ends here: an endless line is not looked through each time.
        if _LF in chunk or _CR in chunk or after_cr:
            *events, rest = _ended_by_lf(b"".join(self._tail)).split(b"\n\n")
            self._tail, self._size = [rest] if rest else [], len(rest)
        if self._size > self._max_event:
            raise UpstreamProtocolError(
                f"the replica sent an event of over {self._max_event} bytes"
            )
        return [payload for event in events if (payload := _payload(event))]


def _ended_by_lf(text: bytes) -> bytes:
    """Return ``text`` with LF for CR LF, and for any other CR a line that is none.

    A CR at the very end stays: its LF may come with the next read.
    """
    if _CR not in text:
        return text
    text = text.replace(b"\r\n", b"\n")
    return text[:-1].replace(b"\r", b"\n%b\n" % DAMAGED) + text[-1:]


def _payload(event: bytes) -> bytes:
    if event.startswith(_DATA) and b"\n" not in event:
        return event[5:].strip(b" ")
    # Several data lines make one payload. The standard joins them by LF; a tab is the same to
    # JSON, which has neither in a string, and keeps the payload fit to be sent on as one line.
    lines = event.split(b"\n")
    if any(line.partition(b":")[0] not in _FIELDS for line in lines):
        return DAMAGED
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(_DATA)]
    return b"\t".join(data).strip(b" \t")
