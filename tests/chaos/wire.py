"""HTTP/1.1 answers as bytes: where their parts are, and what a part of one has shown.

Rule: `shown` reads what was really sent, damage and all, and stops at the first thing that is
not as it should be: it says whether a client could have seen content, so it must never see
more than a careful reader would.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"[DONE]"
_OK = 200


class NotHttp(ValueError):  # noqa: N818 - names the condition
    """These bytes are no whole answer."""


@dataclass(frozen=True)
class Message:
    """A whole answer, or a request."""

    raw: bytes

    @cached_property
    def head_end(self) -> int:
        """Where the body begins.

        Raises:
            NotHttp: the head is not all there.
        """
        at = self.raw.find(HEAD_END)
        if at < 0:
            raise NotHttp("no end of the head")
        return at + len(HEAD_END)

    @cached_property
    def headers(self) -> dict[str, str]:
        """By name, in lower case."""
        lines = self.raw[: self.head_end].decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def status(self) -> int:
        """Of an answer.

        Raises:
            NotHttp: it has none.
        """
        words = self.raw[:32].split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise NotHttp("no status line")
        return int(words[1])

    @property
    def chunked(self) -> bool:
        """Whether its body comes in chunks."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int:
        """Of a body that is not chunked.

        Raises:
            NotHttp: it is no number.
        """
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise NotHttp("the length is no number")
        return int(text)

    @cached_property
    def pieces(self) -> list[tuple[int, int]]:
        """Where each chunk's data is, in ``raw``, as far as the framing is right.

        The last one may be cut; one piece where the body is not chunked.
        """
        if not self.chunked:
            return [(self.head_end, min(len(self.raw), self.head_end + self.length))]
        found = []
        at = self.head_end
        while (line_end := self.raw.find(b"\r\n", at)) >= 0:
            try:
                size = int(self.raw[at:line_end], 16)
            except ValueError:
                break
            if not size:
                break
            start = line_end + 2
            found.append((start, min(start + size, len(self.raw))))
            at = start + size
            if self.raw[at : at + 2] not in {b"\r\n", b"\r", b""}:
                break
            at += 2
        return found

    @property
    def body(self) -> bytes:
        """What the pieces carry."""
        return b"".join(self.raw[start:end] for start, end in self.pieces)

    @property
    def finished(self) -> bool:
        """Whether all of it is there: asked again and again while it comes."""
        if HEAD_END not in self.raw:
            return False
        if self.chunked:  # JSON has no line end of this kind
            return self.raw.endswith(b"\r\n" + LAST_CHUNK)
        return len(self.raw) >= self.head_end + self.length


@dataclass(frozen=True, slots=True)
class Shown:
    """What bytes of an answer have shown."""

    content: int = 0
    """Content events; 0 for an answer that is not streamed, which is nothing until whole."""
    whole: bool = False
    """A good answer, all of it."""


def shown(raw: bytes) -> Shown:
    """Say what bytes that were sent have shown, up to the first fault in them."""
    message = Message(raw)
    try:
        if message.status != _OK:
            return Shown()
        if not message.chunked:
            return Shown(0, message.finished and _is_answer(message.body))
        return _streamed(message.body)
    except ValueError:  # `NotHttp` too
        return Shown()


def _streamed(body: bytes) -> Shown:
    content, finished = 0, False
    *events, _ = body.split(b"\n\n")
    for event in events:
        if event == b"data: " + DONE:
            return Shown(content, finished)
        if not event.startswith(b"data: "):
            break
        try:
            chunk = json.loads(event[len(b"data: ") :].decode())
            text = text_of(chunk)
            ends = [choice.get("finish_reason") for choice in chunk["choices"]]
        except (ValueError, TypeError, LookupError, AttributeError):
            break
        content += bool(text)
        finished = finished or any(ends)
    return Shown(content)


def _is_answer(body: bytes) -> bool:
    answer = json.loads(body.decode())
    return isinstance(answer, dict) and all(
        choice.get("finish_reason") for choice in answer.get("choices", [{}])
    )


def text_of(chunk: dict[str, Any]) -> str:
    """Return the text that a chunk or a whole answer brings."""
    parts = []
    for choice in chunk.get("choices") or ():
        message = choice.get("delta") or choice.get("message") or {}
        parts.append(choice.get("text") or message.get("content") or "")
    return "".join(parts)
