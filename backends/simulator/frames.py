"""Events of streamed answers, as bytes.

Written by hand instead of through a serialiser because every token passes here; the tests
compare each with what the serialiser gives. Chat chunks leave out nulls, the others keep them;
role and echo chunks end in a space before the blank line, as in every era.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from backends.simulator.dialects import Dialect

DONE = b"data: [DONE]\n\n"
encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one prompt's answer, or of a request's."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def fields(self, dialect: Dialect) -> dict[str, object]:
        """Return them as the reply's ``usage``, in the server's order."""
        fields: dict[str, object] = {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "completion_tokens": self.completion_tokens,
        }
        if dialect.cached_tokens:
            fields["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        return fields


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a sequence ended; both None while it runs."""

    finish_reason: str | None = None
    stop_reason: str | int | None = None


RUNNING = Ending()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a stream's ids and times come from."""

    dialect: Dialect
    model: bytes
    """As a JSON string."""
    fixed_id: str
    """The stream's id where chunks share one."""
    created: int
    """When it began, in Unix seconds."""
    new_id: Callable[[], str]
    wall: Callable[[], float]

    def head(self, prefix: bytes, kind: bytes) -> bytes:
        """Begin one event, up to the ``[`` of its choices."""
        if self.dialect.id_per_chunk:
            name, created = self.new_id(), int(self.wall())
        else:
            name, created = self.fixed_id, self.created
        return b'data: {"id":"%b%b","object":"%b","created":%d,"model":%b,"choices":[' % (
            prefix,
            name.encode(),
            kind,
            created,
            self.model,
        )

    def chat_head(self) -> bytes:
        """Begin a chat chunk."""
        return self.head(b"chatcmpl-", b"chat.completion.chunk")

    def completion_head(self) -> bytes:
        """Begin a completion's chunk."""
        return self.head(b"cmpl-", b"text_completion")


class ChatFrames:
    """Renders the chunks of one streamed chat answer."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._dialect = dialect = stamp.dialect
        self._calls = b',"tool_calls":[]' if dialect.tool_calls_always else b""
        self._no_reasoning = b',"reasoning_content":""' if dialect.reasoning_always else b""

    def role(self, index: int, usage: Usage | None = None) -> bytes:
        """Open a choice."""
        delta = b'"role":"assistant"%b' % self._calls
        return self._chunk(index, delta, b"", usage, b" \n\n")

    def echo(self, index: int, text: str, usage: Usage | None = None) -> bytes:
        """Repeat the beginning that the client gave."""
        delta = b'"content":%b%b' % (encode(text), self._calls)
        return self._chunk(index, delta, b"", usage, b" \n\n")

    def content(self, text: str, reasoning: str) -> bytes:
        """Render the delta of ordinary text."""
        if reasoning or self._no_reasoning:
            thoughts = b',"reasoning_content":%b' % encode(reasoning)
            return b'"content":%b%b%b' % (encode(text), thoughts, self._calls)
        return b'"content":%b%b' % (encode(text), self._calls)

    def tool_call(self, call_id: str | None, name: str | None, arguments: str) -> bytes:
        """Render the delta of a tool call; an id and a name come with its first part."""
        parts = b'"id":%b,' % encode(call_id) if call_id else b""
        named = b'"name":%b,' % encode(name) if name else b""
        return (
            b'"tool_calls":[{%b"type":"function","index":0,"function":{%b"arguments":%b}}]'
            % (
                parts,
                named,
                encode(arguments),
            )
        )

    def chunk(
        self,
        index: int,
        delta: bytes,
        ending: Ending,
        per_iter: float,
        logprobs: bytes | None = None,
        usage: Usage | None = None,
    ) -> bytes:
        """Render one engine response of one choice."""
        tail = b""
        if logprobs is not None:
            tail += b',"logprobs":%b' % logprobs
        if ending.finish_reason is not None:
            tail += b',"finish_reason":%b' % encode(ending.finish_reason)
        if ending.stop_reason is not None:
            tail += b',"stop_reason":%b' % encode(ending.stop_reason)
        if self._dialect.decoded_per_iter:
            tail += b',"avg_decoded_tokens_per_iter":%b' % repr(per_iter).encode()
        return self._chunk(index, delta, tail, usage, b"\n\n")

    def usage(self, usage: Usage) -> bytes:
        """Render the chunk that ends the answer of one prompt."""
        return usage_frame(self._stamp.chat_head(), usage, self._dialect)

    def _chunk(
        self, index: int, delta: bytes, tail: bytes, usage: Usage | None, end: bytes
    ) -> bytes:
        counts = b"" if usage is None else b',"usage":' + encode(usage.fields(self._dialect))
        head = self._stamp.chat_head()
        return b'%b{"index":%d,"delta":{%b}%b}]%b}%b' % (head, index, delta, tail, counts, end)


class CompletionFrames:
    """Renders the chunks of one streamed completion."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._dialect = stamp.dialect

    def chunk(
        self,
        index: int,
        text: str,
        ending: Ending,
        per_iter: float,
        extra: tuple[bytes, bytes] = (b"null", b"null"),
        usage: Usage | None = None,
    ) -> bytes:
        """Render one engine response of one choice; ``extra`` is token ids and logprobs."""
        mean = b""
        if self._dialect.decoded_per_iter:
            mean = b',"avg_decoded_tokens_per_iter":%b' % repr(per_iter).encode()
        return (
            b'%b{"index":%d,"text":%b,"token_ids":%b,"logprobs":%b,"finish_reason":%b,'
            b'"stop_reason":%b%b}],"usage":%b}\n\n'
        ) % (
            self._stamp.completion_head(),
            index,
            encode(text),
            *extra,
            encode(ending.finish_reason),
            encode(ending.stop_reason),
            mean,
            b"null" if usage is None else encode(usage.fields(self._dialect)),
        )

    def usage(self, usage: Usage) -> bytes:
        """Render the chunk that ends the answer of one prompt: a chat object before main."""
        stamp = self._stamp
        chat = self._dialect.usage_chunk_is_chat
        head = stamp.chat_head() if chat else stamp.completion_head()
        return usage_frame(head, usage, self._dialect)


def usage_frame(head: bytes, usage: Usage, dialect: Dialect) -> bytes:
    """Close an event that has no choices."""
    return b'%b],"usage":%b}\n\n' % (head, encode(usage.fields(dialect)))


def error_frame(message: str) -> bytes:
    """Tell of an error inside a streamed completion, as the newest era does."""
    detail = {"message": message, "type": "server_error", "code": None, "param": None}
    return b"data: " + json.dumps({"error": detail}).encode() + b"\n\n"
