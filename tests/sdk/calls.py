"""Calls that the clients make: each once through the gateway and once directly to a replica."""

from typing import Any

QUESTION = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "Where is New York? Name the bridges of Manhattan."},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TOKENS = 24
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TOOLS = {
    "messages": QUESTION,
    "max_tokens": 64,
    "tools": [WEATHER],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
}


def call(name: str, kind: str, **params: Any) -> dict[str, Any]:
    """Return one call for a client; `for_model` names its model."""
    return {"name": name, "kind": kind, "params": params}


def for_model(model: str, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``calls`` with ``model`` in each."""
    return [{**each, "params": {"model": model, **each["params"]}} for each in calls]


_PROMPT = {"prompt": "Once upon a time", "max_tokens": TOKENS}
_CHAT = {"messages": QUESTION, "max_tokens": TOKENS}

COMPARED = [
    call("completion", "completions", **_PROMPT),
    call("completion, streamed", "completions", **_PROMPT, **USAGE),
    call("completion, seeded", "completions", **_PROMPT, seed=7, temperature=0.5),
    call("completion, token ids", "completions", prompt=[[11, 22, 33]], max_tokens=TOKENS),
    call("completion, two prompts", "completions", prompt=["One", "Two"], max_tokens=TOKENS),
    call("completion, stop", "completions", **_PROMPT, stop=["n"], extra_body={"top_k": 1}),
    call("chat", "chat", **_CHAT),
    call("chat, streamed", "chat", **_CHAT, stream=True),
    call("chat, streamed with usage", "chat", **_CHAT, **USAGE),
    call("chat, logprobs", "chat", **_CHAT, logprobs=True),
    call("chat, logprobs, streamed", "chat", **_CHAT, logprobs=True, **USAGE),
    call("chat, tools", "chat", **TOOLS),
    call("chat, tools, streamed", "chat", **TOOLS, **USAGE),
]
"""``extra_body`` is openai-python's; `node_calls` spreads it."""

REFUSED = {
    "unknown model": call("unknown model", "chat", model="no-such-model", **_CHAT),
    "wrong type": call("wrong type", "chat", **{**_CHAT, "max_tokens": "many"}),
    "no prompt": call("no prompt", "completions", prompt=None, max_tokens=TOKENS),
    "zero tokens": call("zero tokens", "completions", prompt="x", max_tokens=0),
}


def node_calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``calls`` for openai-node: what is in ``extra_body`` stands beside the others."""
    spread = []
    for each in calls:
        params = dict(each["params"])
        extra = params.pop("extra_body", {})
        spread.append({**each, "params": {**params, **extra}})
    return spread
