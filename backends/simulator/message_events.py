"""Answers of ``/v1/messages``: the chat endpoint's, said again in Anthropic's words.

A stream is read back from the chat's own chunks, as the original does it, so both say the same.
A block is opened by its first words and closed before another one opens. Nulls are left out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backends.simulator.driver import Sink
from backends.simulator.frames import encode
from backends.simulator.generation import PromptContext, WholePrompt
from backends.simulator.orders import Order
from backends.simulator.outbox import Outbox
from backends.simulator.simulator import Simulator
from backends.simulator.spelling import OpenAISpelling

GARBAGE = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\n\n'
)
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def error_event(message: str, kind: str = "api_error") -> dict[str, Any]:
    """Return Anthropic's envelope of an error, which is also the event that tells of one."""
    return {"type": "error", "error": {"type": kind, "message": message}}


class MessageSpelling:
    """Spells one message."""

    garbage = GARBAGE

    def __init__(self, sim: Simulator, order: Order, outbox: Outbox) -> None:
        self._new_id = sim.new_id
        self._events = MessageEvents(outbox, f"msg_{sim.new_id()}")
        self._chat = OpenAISpelling(sim, order, self._events)

    def begin(self) -> None:
        """Say nothing: the message starts with its first chunk."""

    def sink(self, context: PromptContext) -> Sink:
        """Return what renders the chat's chunks, which come back to the events."""
        return self._chat.sink(context)

    def finish(self) -> None:
        """Stop the message."""
        self._events.finish()

    def failure(self, message: str) -> bytes | None:  # noqa: ARG002 - clients are not told
        """Tell that something failed, and nothing of what."""
        return self._events.failure()

    def body(self, wholes: Sequence[WholePrompt]) -> bytes:
        """Return the whole message."""
        reply = json.loads(self._chat.body(wholes))
        (choice,) = reply["choices"]
        content = _content(choice["message"])
        stop = _stop(choice["finish_reason"], choice["stop_reason"])
        return encode(
            {
                "id": f"msg_{self._new_id()}",
                "type": "message",
                "role": "assistant",
                "model": reply["model"],
                "content": content or [{"type": "text", "text": ""}],
                **stop,
                "usage": usage_of(reply["usage"]),
            }
        )


def _content(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if message["reasoning_content"]:
        content.append({"type": "thinking", "thinking": message["reasoning_content"]})
    if message["content"]:
        content.append({"type": "text", "text": message["content"]})
    for call in message["tool_calls"]:
        function = call["function"]
        arguments = json.loads(function["arguments"])
        block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
        content.append(block | {"input": arguments})
    return content


def _stop(finish_reason: str, stop_reason: object) -> dict[str, str]:
    if finish_reason == "stop" and isinstance(stop_reason, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_reason}
    return {"stop_reason": _REASONS[finish_reason]}


def usage_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """Turn a chat's usage into a message's: what came from the cache is no input."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    counts = {
        "input_tokens": usage["prompt_tokens"] - cached,
        "output_tokens": usage["completion_tokens"],
    }
    return counts | ({"cache_read_input_tokens": cached} if cached else {})


def sse(event: Mapping[str, Any]) -> bytes:
    """Spell one event, named by its type."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encode(event))


class MessageEvents:
    """Takes a chat's chunks and puts a message's events into an outbox."""

    def __init__(self, outbox: Outbox, message_id: str) -> None:
        self._outbox = outbox
        self._id = message_id
        self._started = False
        self._block = -1
        self._open: str | None = None
        self._stop: dict[str, str] = {}
        self._usage: dict[str, int] = {}
        self._unsaid = 0
        """Tokens that came since the last words."""

    def put(self, body: bytes, tokens: int = 0, *, closing: bool = False) -> None:  # noqa: ARG002 - the chat's own end is not passed on
        """Say again what one chunk says."""
        chunk = json.loads(body.removeprefix(b"data: "))
        self._unsaid += tokens
        self._usage = usage_of(chunk["usage"])
        if not self._started:
            self._start(chunk["model"])
        for choice in chunk["choices"]:
            self._say_again(choice["delta"])
            if "finish_reason" in choice:
                self._stop = _stop(choice["finish_reason"], choice.get("stop_reason"))

    def finish(self) -> None:
        """Stop the message."""
        self._close()
        self._event({"type": "message_delta", "delta": self._stop, "usage": self._usage})
        stop = sse({"type": "message_stop"})
        self._outbox.put(stop, self._unsaid, closing=True)

    def failure(self) -> bytes:
        """Return the events that end the stream without stopping the message."""
        error = sse(error_event("Internal server error"))
        return error if self._open is None else sse(self._block_stop()) + error

    def _start(self, model: str) -> None:
        self._started = True
        message = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "usage": self._usage | {"output_tokens": 0},
        }
        self._event({"type": "message_start", "message": message})

    def _say_again(self, delta: Mapping[str, Any]) -> None:
        if thought := delta.get("reasoning_content"):
            self._ensure({"type": "thinking", "thinking": ""})
            self._delta({"type": "thinking_delta", "thinking": thought})
        if text := delta.get("content"):
            self._ensure({"type": "text", "text": ""})
            self._delta({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls", ()):
            function = call["function"]
            if "id" in call:
                block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
                self._ensure(block | {"input": {}})
            if arguments := function["arguments"]:
                self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _ensure(self, block: Mapping[str, Any]) -> None:
        if self._open == block["type"]:
            return
        self._close()
        self._open = block["type"]
        self._block += 1
        start = {"type": "content_block_start", "index": self._block}
        self._event(start | {"content_block": block})

    def _delta(self, delta: Mapping[str, Any]) -> None:
        event = {"type": "content_block_delta", "index": self._block, "delta": delta}
        self._outbox.put(sse(event), self._unsaid)
        self._unsaid = 0

    def _close(self) -> None:
        if self._open is not None:
            self._event(self._block_stop())
            self._open = None

    def _block_stop(self) -> dict[str, Any]:
        return {"type": "content_block_stop", "index": self._block}

    def _event(self, event: Mapping[str, Any]) -> None:
        self._outbox.put(sse(event))
