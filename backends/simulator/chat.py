"""Messages to a prompt, in the manner of Llama 3, and what the model makes of its tools.

The template is fixed, so equal beginnings of conversations are equal beginnings of prompts:
that is what prefix reuse lives on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from backends.simulator.guided import sample
from backends.simulator.text import tokenize
from backends.simulator.wire_types import Message, NamedToolChoice, Tool

BEGIN, HEADER, HEADER_END, TURN_END = 128_000, 128_006, 128_007, 128_009
"""Llama 3's special tokens, which no text contains."""


def render_chat(
    messages: Sequence[Message], tools: Sequence[Tool], *, open_turn: bool = True
) -> list[int]:
    """Render a conversation as tokens; with ``open_turn`` the assistant's next turn is begun.

    Raises:
        ValueError: a content part that a text model has no use for.
    """
    tokens = [BEGIN]
    if tools:
        listed = "\n".join(_compact(t.model_dump(exclude_none=True)) for t in tools)
        tokens += _turn("system", f"You may call these functions:\n{listed}")
    for message in messages:
        tokens += _turn(message.role, _content(message))
    if open_turn:
        tokens += _header("assistant")
    return tokens


def content_text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    """Join the text of a message's content.

    Raises:
        ValueError: a part that is not text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.get("type") != "text":
            raise ValueError(f"Unknown part type: {part.get('type')}")
    return "\n".join(str(part.get("text", "")) for part in content)


def _content(message: Message) -> str:
    text = content_text(message.content)
    calls = [_compact(c.function.model_dump()) for c in message.tool_calls or ()]
    return "\n".join([text, *calls]) if calls else text


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _header(role: str) -> list[int]:
    return [HEADER, *tokenize(role), HEADER_END, *tokenize("\n\n")]


def _turn(role: str, text: str) -> list[int]:
    return [*_header(role), *tokenize(text.strip()), TURN_END]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model makes, and how its text is laid out."""

    name: str
    arguments: str
    before: str = ""
    """Text in front of the arguments; empty when guided decoding yields them alone."""
    after: str = ""

    @property
    def script(self) -> tuple[int, ...]:
        """Return the tokens that the model has to say."""
        return tuple(tokenize(self.before + self.arguments + self.after))


def choose_tool_call(
    tools: Sequence[Tool], choice: str | NamedToolChoice | None, last: Message | None
) -> ToolCall | None:
    """Decide whether the model calls a tool, and which.

    A named choice is guided decoding: the arguments alone. ``required`` takes the first tool;
    ``auto`` and no choice the first whose name, or a word of it, the user's last turn has: the
    model sees its tools whatever the server makes of the call.

    Raises:
        ValueError: a named function is not among the tools.
    """
    if isinstance(choice, NamedToolChoice):
        named = [t for t in tools if t.function.name == choice.function.name]
        if not named:
            raise ValueError(f"Tool '{choice.function.name}' not found in provided tools.")
        return ToolCall(named[0].function.name, _arguments(named[0]))
    if choice == "none" or not tools:
        return None
    wanted = [tools[0]] if choice == "required" else _hinted(tools, last)
    if not wanted:
        return None
    name = wanted[0].function.name
    before = f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": '
    return ToolCall(name, _arguments(wanted[0]), before, "}\n</tool_call>")


def _arguments(tool: Tool) -> str:
    value = sample(tool.function.parameters or {"type": "object"})
    return json.dumps(value, ensure_ascii=False)


def _hinted(tools: Sequence[Tool], last: Message | None) -> list[Tool]:
    if last is None or last.role != "user":
        return []
    said = content_text(last.content).lower()
    return [t for t in tools if any(word in said for word in _words(t.function.name))]


def _words(name: str) -> list[str]:
    """Split a function's name; verbs such as ``get`` are too short to hint at anything."""
    words = name.lower().replace("-", "_").split("_")
    return [name.lower(), *(w for w in words if len(w) > 3)]  # noqa: PLR2004 - see docstring


class ToolCallReader:
    """Finds the arguments in a call's text as it comes."""

    def __init__(self, call: ToolCall) -> None:
        self._start = len(call.before)
        self._end = self._start + len(call.arguments)
        self._seen = 0

    def feed(self, text: str) -> str | None:
        """Return the part of the arguments in ``text``; None while the call's head is open."""
        begin, self._seen = self._seen, self._seen + len(text)
        if self._seen <= self._start and self._start:
            return None
        return text[max(self._start - begin, 0) : max(self._end - begin, 0)]
