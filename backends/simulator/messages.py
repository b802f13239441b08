"""``/v1/messages`` of the newest era: Anthropic's protocol in front of the chat endpoint.

A request becomes a chat request, so all that is said of those holds. Errors have Anthropic's
envelope, whatever their status. What the chat endpoint cannot do is refused and never dropped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from backends.simulator import anthropic_types as a
from backends.simulator.endpoint import Reading, Values
from backends.simulator.errors import Refused, bad_request
from backends.simulator.frames import encode
from backends.simulator.message_events import MessageSpelling, error_event
from backends.simulator.orders import Order, chat_order
from backends.simulator.schema import request_model
from backends.simulator.simulator import Simulator

SERVER_TOOLS = (
    "web_search", "web_fetch", "code_execution", "tool_search_tool_", "advisor_", "mcp_toolset",
)  # fmt: skip
"""Beginnings of the types of tools that Anthropic itself would run."""
BILLING = "x-anthropic-billing-header:"
"""A client's bookkeeping, in the first block of its system prompt; no model is told of it."""


def enveloped(refused: Refused) -> Refused:
    """Put a refusal into Anthropic's envelope."""
    said: dict[str, Any] = json.loads(refused.body)
    if "detail" in said:  # FastAPI itself has answered
        return refused
    kind = "invalid_request_error" if refused.status < 500 else "api_error"  # noqa: PLR2004 - the status
    message = said.get("message") or said.get("error") or refused.body.decode()
    return Refused(refused.status, encode(error_event(message, kind)))


def read_messages(sim: Simulator, values: Values) -> Reading:
    """Read a checked body of ``/v1/messages``.

    Raises:
        Refused: what the chat endpoint cannot do.
    """
    body = chat_body(values) | {
        "max_completion_tokens": values["max_tokens"],
        "stream": bool(values["stream"]),
        "stop": values["stop_sequences"],
        "temperature": values["temperature"],
        "top_p": values["top_p"],
    }
    if values["top_k"] is not None:
        body["top_k"] = values["top_k"]
    if values["stream"]:
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    _check_budget(values)
    order = _chat_order(sim, body)
    return order, partial(MessageSpelling, sim)


def read_count(sim: Simulator, values: Values) -> int:
    """Count the prompt's tokens for a checked body of ``/v1/messages/count_tokens``.

    Raises:
        Refused: what the chat endpoint cannot do.
    """
    (prompt,) = _chat_order(sim, chat_body(values)).prompts
    return len(prompt)


def _chat_order(sim: Simulator, body: Mapping[str, Any]) -> Order:
    model = request_model("ChatCompletionRequest", sim.dialect.era)
    return chat_order(dict(model.model_validate(body)), sim.settings, sim.rng)


def chat_body(values: Values) -> dict[str, Any]:
    """Turn the part that makes the prompt into a chat request's.

    Raises:
        Refused: it cannot be turned.
    """
    body: dict[str, Any] = {"model": values["model"], "messages": _turns(values)}
    tools = _tools(values)
    choice = _tool_choice(values["tool_choice"], tools)
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    wanted = (values["output_config"] or {}).get("format")
    if wanted is not None:
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            raise bad_request("output_config.format must be of type 'json_schema'")
        schema = {"schema": wanted.get("schema")}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _check_budget(values: Values) -> None:
    thinking = values["thinking"]
    if isinstance(thinking, a.Budgeted) and thinking.budget_tokens >= values["max_tokens"]:
        raise bad_request("thinking.budget_tokens must be less than max_tokens")


def _turns(values: Values) -> list[dict[str, Any]]:
    """Return the chat's messages: system text first, but only what leads."""
    turns: Sequence[a.Turn] = values["messages"]
    leading = 0
    while leading < len(turns) and turns[leading].role == "system":
        leading += 1
    system = _system(values["system"])
    system += [_plain(turn.content) for turn in turns[:leading]]
    chat = [message for turn in turns[leading:] for message in _turn(turn)]
    joined = "\n\n".join(text for text in system if text)
    return [{"role": "system", "content": joined}, *chat] if joined else chat


def _system(given: str | list[a.TextBlock] | None) -> list[str]:
    texts = [given] if isinstance(given, str) else [block.text for block in given or ()]
    if not isinstance(given, str) and texts and texts[0].startswith(BILLING):
        del texts[0]
    return texts


def _plain(content: str | Sequence[a.Block]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if isinstance(block, a.TextBlock))


@dataclass(slots=True)
class _Turn:
    """One message on its way into the chat: results of calls become messages of their own."""

    role: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def add(self, block: a.Block) -> None:
        match block:
            case a.TextBlock():
                self.parts.append({"type": "text", "text": block.text})
            case a.ImageBlock():
                self.parts.append({"type": "image_url", "image_url": {"url": block.source.url}})
            case a.ToolUseBlock() if self.role == "assistant":
                called = {"name": block.name, "arguments": json.dumps(block.input)}
                self.calls.append({"id": block.id, "type": "function", "function": called})
            case a.ToolResultBlock():
                self.flush()
                self.messages.append(_result(block))
            case a.ThinkingBlock() if self.role == "assistant":
                pass  # the template has no place for thoughts of earlier turns
            case _:
                raise bad_request(
                    f"content block {block.type!r} of role {self.role!r} is not supported"
                )

    def flush(self) -> None:
        """End the message that the parts so far make."""
        if not self.parts and not self.calls:
            return
        message: dict[str, Any] = {"role": self.role, "content": self.parts or None}
        if self.calls:
            message["tool_calls"] = self.calls
        self.messages.append(message)
        self.parts, self.calls = [], []


def _turn(turn: a.Turn) -> list[dict[str, Any]]:
    if isinstance(turn.content, str):
        return [{"role": turn.role, "content": turn.content}]
    reader = _Turn(turn.role)
    for block in turn.content:
        reader.add(block)
    reader.flush()
    return reader.messages


def _result(block: a.ToolResultBlock) -> dict[str, Any]:
    content = block.content or ""
    if not isinstance(content, str):
        others = [part.type for part in content if not isinstance(part, a.TextBlock)]
        if others:
            raise bad_request(f"content block {others[0]!r} in a tool_result is not supported")
    text = _plain(content)
    if block.is_error:
        text = f"Tool execution failed: {text}"
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": text}


def _tools(values: Values) -> list[dict[str, Any]]:
    tools: Sequence[a.Tool] = values["tools"] or ()
    choice: a.ToolChoice | None = values["tool_choice"]
    usable = []
    for tool in tools:
        if (tool.type or "").startswith(SERVER_TOOLS):
            if choice is not None and choice.type == "none":
                continue
            raise bad_request(f"server tool {tool.name!r} ({tool.type}) is not supported")
        if tool.input_schema is None:
            raise bad_request(f"tool {tool.name!r} needs an input_schema")
        function = {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.input_schema,
            "strict": tool.strict,
        }
        usable.append({"type": "function", "function": function})
    return usable


def _tool_choice(choice: a.ToolChoice | None, tools: Sequence[object]) -> str | None:
    if choice is None:
        return "auto" if tools else None
    if choice.type != "none" and choice.disable_parallel_tool_use:
        raise bad_request("tool_choice.disable_parallel_tool_use is not supported")
    if choice.type in {"any", "tool"}:
        raise bad_request(f"tool_choice type {choice.type!r} is not supported")
    if choice.type == "auto" and not tools:
        raise bad_request("tool_choice needs a tool that the client can run")
    return choice.type
