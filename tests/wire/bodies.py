"""Requests of the two generation endpoints, and reading their answers."""

import json

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
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
