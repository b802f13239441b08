"""The newer kinds of request as data: what a client sends, and what a replica answers."""

import json
from dataclasses import dataclass

from tests.fakes.replica import LAST, STREAM, chunk, reply
from tests.unit.core.typed_transcripts import (
    BLOCK,
    ITEM,
    MESSAGE,
    RESPONSE,
    adds,
    closing,
    event,
    message,
    opening,
    response,
    says,
    started,
)

EMBEDDED = {
    "object": "list",
    "model": "source",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}


def as_json(value):
    return json.dumps(value).encode()


@dataclass(frozen=True)
class Kind:
    """One of them."""

    name: str
    path: str
    asks: dict
    whole: dict
    """An answer that was not streamed."""
    route: str = ""
    """The replica's, where it is another."""
    stream: bytes = b""
    """A complete answer that was streamed."""
    begins: bytes = b""
    """Its events before the first content."""
    content: bytes = b""
    """An event with some."""
    ends: bytes = b""
    """Its last event."""

    @property
    def asked(self):
        return f"POST {self.route or self.path}"

    def body(self, **fields):
        return as_json({"model": "m"} | self.asks | fields)

    @property
    def streamed(self):
        return self.body(stream=True)

    @property
    def reply(self):
        return reply(as_json(self.whole))

    @property
    def answer(self):
        """The stream as it comes over the wire, one event in each chunk."""
        return wire(*in_events(self.stream))


def in_events(stream):
    return [each + b"\n\n" for each in stream.split(b"\n\n")[:-1]]


def wire(*pieces, end=LAST):
    return STREAM + b"".join(map(chunk, pieces)) + end


RESPONSES = Kind(
    "responses",
    "/v1/responses",
    {"input": "hi"},
    response(),
    stream=RESPONSE,
    begins=opening() + ITEM,
    content=says("the"),
    ends=closing(),
)
MESSAGES = Kind(
    "messages",
    "/v1/messages",
    {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    message(),
    stream=MESSAGE,
    begins=started() + BLOCK,
    content=adds(type="text_delta", text="the"),
    ends=event("message_stop"),
)
EMBEDDINGS = Kind("embeddings", "/v1/embeddings", {"input": "hi"}, EMBEDDED)
TOKENIZE = Kind(
    "tokenize", "/tokenize", {"prompt": "hi"}, {"count": 2, "tokens": [5, 7]},
    route="/_internal/tokenize",
)  # fmt: skip
TYPED = (RESPONSES, MESSAGES)
ALL = (*TYPED, EMBEDDINGS, TOKENIZE)
