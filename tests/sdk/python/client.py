"""Makes calls with whichever openai-python is on the path, and prints what each call gave.

Reads one JSON job from stdin, ``{base_url, api_key, calls: [{name, kind, params}]}``, prints
one JSON object by name of call. It is a program so that releases of the client live apart.
"""

import asyncio
import json
import sys

import openai


def main():
    job = json.load(sys.stdin)
    options = {"base_url": job["base_url"], "api_key": job["api_key"], "max_retries": 0}
    results = {"version": openai.__version__}
    with openai.OpenAI(timeout=60, **options) as client:
        for call in job["calls"]:
            results[call["name"]] = run(client, call)
    results["async"] = asyncio.run(run_async(options, job.get("async_call")))
    json.dump(results, sys.stdout)


def run(client, call):
    if call["kind"] == "responses":
        return run_response(client, call["params"])
    gathered = Gathered()
    try:
        if call["kind"] == "models":
            return {"models": sorted(model.id for model in client.models.list())}
        answer = endpoint(client, call).create(**call["params"])
        if call["params"].get("stream"):
            for chunk in answer:
                gathered.add(chunk.model_dump(), "delta")
        else:
            gathered.add(answer.model_dump(), "message")
    except openai.APIError as error:
        gathered.error = described(error)
    return gathered.result()


def run_response(client, params):
    """Make one call of the Responses API; ``status`` is None unless its end was seen."""
    seen = {"ids": set(), "models": set(), "text": "", "status": None, "error": None}
    try:
        answer = client.responses.create(**params)
        if params.get("stream"):
            for event in answer:
                if event.type == "response.output_text.delta":
                    seen["text"] += event.delta
                if hasattr(event, "response"):
                    note(seen, event.response)
        else:
            note(seen, answer)
            seen["text"] = answer.output_text
    except openai.APIError as error:
        seen["error"] = described(error)
    return {**seen, "ids": sorted(seen["ids"]), "models": sorted(seen["models"])}


def note(seen, response):
    seen["ids"].add(response.id)
    seen["models"].add(response.model)
    seen["status"] = None if response.status == "in_progress" else response.status


async def run_async(options, call):
    gathered = Gathered()
    if call is None:
        return None
    async with openai.AsyncOpenAI(timeout=60, **options) as client:
        try:
            async for chunk in await endpoint(client, call).create(**call["params"]):
                gathered.add(chunk.model_dump(), "delta")
        except openai.APIError as error:
            gathered.error = described(error)
    return gathered.result()


def endpoint(client, call):
    return client.chat.completions if call["kind"] == "chat" else client.completions


def described(error):
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": error.code,
        "type": error.type,
        "param": error.param,
        "message": error.message,
    }


class Gathered:
    """What the chunks of one answer, or the answer itself, come to; by choice index."""

    def __init__(self):
        self.models = set()
        self.choices = {}
        self.usage = None
        self.error = None

    def add(self, answer, message_key):
        self.models.add(answer["model"])
        if answer.get("usage"):
            self.usage = {
                key: answer["usage"][key]
                for key in ("prompt_tokens", "completion_tokens", "total_tokens")
            }
        for choice in answer["choices"]:
            own = self.choices.setdefault(
                choice["index"],
                {"text": "", "finish_reason": None, "logprobs": [], "tools": {}},
            )
            message = choice.get(message_key) or {}
            own["text"] += choice.get("text") or message.get("content") or ""
            own["finish_reason"] = choice["finish_reason"] or own["finish_reason"]
            own["logprobs"] += logprobs(choice.get("logprobs") or {})
            for at, tool in enumerate(message.get("tool_calls") or []):
                add_tool(own["tools"], tool.get("index", at), tool["function"])

    def result(self):
        choices = [self.choices[index] for index in sorted(self.choices)]
        return {
            "models": sorted(self.models),
            "choices": choices,
            "usage": self.usage,
            "error": self.error,
        }


def logprobs(given):
    """Return (token, logprob) pairs, from the shape of chat or of completions."""
    if given.get("content"):
        return [[each["token"], each["logprob"]] for each in given["content"]]
    tokens, values = given.get("tokens") or [], given.get("token_logprobs") or []
    return [list(pair) for pair in zip(tokens, values, strict=True)]


def add_tool(tools, index, function):
    own = tools.setdefault(str(index), {"name": "", "arguments": ""})
    own["name"] += function.get("name") or ""
    own["arguments"] += function.get("arguments") or ""


main()
