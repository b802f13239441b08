"""Reads a body of ``/v1/responses``: as a chat, which is what the server makes of it.

Reasoning of earlier turns is left out of the prompt, and a model's tools are offered whatever
the choice of tools says, as in the original.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from backends.simulator.endpoint import Reading, Values
from backends.simulator.errors import Refused, bad_request, flat_error
from backends.simulator.orders import chat_order
from backends.simulator.response_routes import check_id, not_found
from backends.simulator.response_store import Conversation
from backends.simulator.responses import ResponseSpelling
from backends.simulator.schema import request_model
from backends.simulator.simulator import Simulator

HARMONY_ONLY = "Responses API only supports harmony format for now"
NOTHING_STORED = (
    "'previous_response_id' requires response storage, which is disabled on this server."
)
_TEXT_PARTS = {"text", "input_text", "output_text"}


def read_response(sim: Simulator, values: Values) -> Reading:
    """Read a checked body.

    Raises:
        Refused: what the server does not serve, or an earlier reply that it does not know.
    """
    settings = sim.settings
    if sim.dialect.responses_need_harmony and not settings.harmony:
        raise bad_request(HARMONY_ONLY)
    conversation = [
        *_instructions(values),
        *_earlier(sim, values["previous_response_id"]),
        *_new_turns(values["input"]),
    ]
    model = request_model("ChatCompletionRequest", sim.dialect.era)
    chat = dict(model.model_validate(_chat_body(values, conversation)))
    if settings.harmony:
        settings = replace(settings, reasoning_parser=True)
    order = chat_order(chat, settings, sim.rng)
    return order, partial(ResponseSpelling, sim, values, conversation)


def _chat_body(values: Values, conversation: Conversation) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": values["model"],
        "messages": conversation,
        "max_completion_tokens": values["max_output_tokens"],
        "temperature": values["temperature"],
        "top_p": values["top_p"],
        "stream": bool(values["stream"]),
    }
    if tools := [_chat_tool(t) for t in values["tools"] if t.get("type") == "function"]:
        body["tools"] = tools
    wanted = (values["text"] or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        body["response_format"] = {"type": "json", "schema": wanted.get("schema")}
    elif wanted.get("type", "text") != "text":
        raise bad_request(f"{wanted['type']} is not supported")
    return body


def _chat_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    named = {key: tool.get(key) for key in ("name", "description", "parameters")}
    return {"type": "function", "function": named}


def _instructions(values: Values) -> Conversation:
    asked = values["instructions"]
    return [{"role": "system", "content": asked}] if asked else []


def _earlier(sim: Simulator, response_id: str | None) -> Conversation:
    """Return the turns up to an earlier reply's."""
    store = sim.responses
    if response_id is None:
        return ()
    if not store.enabled:
        if not sim.dialect.previous_needs_store:
            return ()
        raise Refused(400, flat_error(NOTHING_STORED, kind="InvalidRequestError"))
    check_id(response_id)
    stored = store.get(response_id)
    if stored is None:
        raise not_found(response_id)
    return stored.conversation


def _new_turns(asked: str | list[dict[str, Any]]) -> Conversation:
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    turns = [_turn(item) for item in asked]
    return [turn for turn in turns if turn is not None]


def _turn(item: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = item.get("type") or "message"
    if kind == "message" and "role" in item:
        return {"role": item["role"], "content": _text(item.get("content"))}
    if kind == "function_call":
        called = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": called}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        content = _text(item.get("output"))
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    if kind == "reasoning":
        return None
    raise bad_request(f"Unsupported input item type: {kind}, item: {item}")


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.get("type") not in _TEXT_PARTS:
            raise bad_request(f"Unknown part type: {part.get('type')}")
    return "\n".join(str(part.get("text", "")) for part in content)
