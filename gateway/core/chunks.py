"""What one chunk of a streamed answer says, and the same chunk in the client's terms.

Every event is decoded, typed and with the parts that nobody asks about left out: that costs no
more than to search it for marks, and a chunk that is not JSON, or not a chunk, is found at
once.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.errors import UpstreamError, UpstreamProtocolError
from gateway.core.operation import Operation
from gateway.core.usage import Usage


class Delta(msgspec.Struct):
    """The part of a chat message that a chunk adds."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Raw] | None = None


class Choice(msgspec.Struct):
    """What a chunk says of one choice."""

    index: int = 0
    text: str | None = None
    token_ids: list[Raw] | None = None
    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """One ``data:`` payload of a streamed answer."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(Chunk)
_HEAD = re.compile(
    rb'\{"id":"[^"\\]*","object":"[^"\\]*","created":\d+,"model":"[^"\\]*(?:\\.[^"\\]*)*"'
)

_NO_HEAD = b"\x00"
"""Begins no JSON, white space before it included."""


def read(payload: bytes) -> Chunk:
    """Decode a payload.

    Raises:
        UpstreamError: it reports a failure.
        UpstreamProtocolError: it is not a chunk: broken JSON or UTF-8, wrong types, or no
        choices.
    """
    try:
        if not payload.isascii():
            payload.decode()  # also the parts that are not decoded below go to the client
        chunk = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamProtocolError("the replica sent a chunk that is not JSON") from None
    if chunk.error is not None:
        raise UpstreamError("the replica failed while it was answering")
    if chunk.choices is None:
        raise UpstreamProtocolError("the replica sent an event that is no chunk of an answer")
    return chunk


def has_content(choice: Choice) -> bool:
    """Say whether the chunk brings any part of the answer for this choice.

    A role alone is none, nor is an empty piece of text: trtllm-serve sends both.
    """
    delta = choice.delta
    if delta is None:
        return bool(choice.text or choice.token_ids)
    return bool(
        delta.content
        or delta.reasoning_content
        or delta.tool_calls
        or delta.reasoning
        or delta.refusal
    )


class Identity:
    """Gives an answer, or every chunk of it, one id, creation time and model: the client's own.

    trtllm-serve of 1.0 and 1.1 makes up a new id for each chunk, later ones number them per
    process.
    """

    __slots__ = ("_cut", "_head", "_theirs")

    def __init__(
        self, operation: Operation, *, stream: bool, answer_id: str, created: int, model: str
    ) -> None:
        """Name the answer.

        ``created`` is in Unix seconds, ``model`` as the client asked for it.
        """
        head = {
            "id": answer_id,
            "object": operation.chunk_object if stream else operation.object,
            "created": created,
            "model": model,
        }
        self._head = msgspec.json.encode(head)[:-1]
        self._theirs = _NO_HEAD
        self._cut = 0

    def of(self, payload: bytes) -> bytes:
        """Return a chunk's payload, or a whole answer's body, under this identity."""
        # The replica's own words are mostly the same in every chunk of a stream.
        if payload.startswith(self._theirs):
            return self._head + payload[self._cut :]
        match = _HEAD.match(payload)
        if match is None:
            return _renamed(payload, self._head)
        self._theirs, self._cut = match[0], match.end()
        return self._head + payload[match.end() :]


def _renamed(payload: bytes, head: bytes) -> bytes:
    """Do the same for keys in another order than trtllm-serve's: slower, and just as right."""
    fields = msgspec.json.decode(payload, type=dict[str, Raw])
    rest = [
        b"%b:%b" % (msgspec.json.encode(key), raw)
        for key, raw in fields.items()
        if key not in {"id", "object", "created", "model"}
    ]
    return b",".join([head, *rest]) + b"}"
