"""Requests of the generation endpoints, and reading their answers."""

import json

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
EMBEDDINGS = "/v1/embeddings"
DIALECTS = ["1.0", "1.1", "1.2", "main"]


def events(reply):
    assert reply.status == 200, reply.body
    *payloads, end = reply.body.decode().split("\n\n")
    assert end == ""
    assert payloads[-1] == "data: [DONE]"
    return [json.loads(p.removeprefix("data: ")) for p in payloads[:-1]]


def text_of(chunks, index=0):
    choices = [c for chunk in chunks for c in chunk["choices"] if c["index"] == index]
    return "".join(c["text"] if "text" in c else c["delta"].get("content", "") for c in choices)


def completion(**fields):
    return {"model": "m", "prompt": "Tell me a story", "max_tokens": 40} | fields


def chat(text="Tell me a story", **fields):
    return {"model": "m", "messages": [{"role": "user", "content": text}]} | fields


def response(asked="Tell me a story", **fields):
    return {"model": "m", "input": asked} | fields


def message(text="Tell me a story", **fields):
    turns = [{"role": "user", "content": text}]
    return {"model": "m", "messages": turns, "max_tokens": 5000} | fields


def typed_events(body: bytes):
    """Read a stream whose every event is named by its type, up to where it broke off."""
    *whole, rest = body.decode().split("\n\n")
    assert rest == "", rest
    read = []
    for event in whole:
        name, data = event.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        read.append(value)
    return read


def kinds(events):
    """Name the events' types in order, each run of the same type once."""
    names = [event["type"] for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]
