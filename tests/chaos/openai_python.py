"""Makes calls, many at a time, with whichever openai-python is on the path; prints a JSON list.

The twin of ``openai_node.mjs``; reads from stdin ``{base_url, concurrency, limit_s, calls}``.
"""

import asyncio
import json
import sys
import time

import openai


async def main():
    job = json.load(sys.stdin)
    room = asyncio.Semaphore(job["concurrency"])
    options = {"base_url": job["base_url"], "api_key": "none", "max_retries": 0}
    async with openai.AsyncOpenAI(timeout=job["limit_s"], **options) as client:
        seen = [run(client, call, room, job["limit_s"]) for call in job["calls"]]
        json.dump(await asyncio.gather(*seen), sys.stdout)


async def run(client, call, room, limit_s):
    async with room:
        view = {"number": call["number"], "ended": "well", "text": "", "finish_reason": None}
        view["began_at"] = time.monotonic()
        try:
            async with asyncio.timeout(limit_s):
                await exchange(client, call, view)
        except TimeoutError:
            view["ended"] = "hung"
        except (openai.APIConnectionError, openai.APIResponseValidationError) as error:
            view.update(ended="transport", note=f"{type(error).__name__}: {error}")
        except openai.APIError as error:
            view.update(ended="told", error=described(error))
            view["status"] = getattr(error, "status_code", 200)
        except Exception as error:  # noqa: BLE001 - whatever a program would be surprised by
            view.update(ended="confused", note=f"{type(error).__name__}: {error}")
        view["ended_at"] = time.monotonic()
        return view


async def exchange(client, call, view):
    endpoint = client.chat.completions if call["chat"] else client.completions
    headers = {"x-request-id": call["id"]}
    answer = await endpoint.create(**call["body"], extra_headers=headers)
    if call["stream"]:
        async for chunk in answer:
            take(view, chunk, "delta")
    else:
        take(view, answer, "message")


def take(view, answer, message_key):
    for choice in answer.choices:
        message = getattr(choice, message_key, None)
        view["text"] += (message.content if message else getattr(choice, "text", "")) or ""
        view["finish_reason"] = choice.finish_reason or view["finish_reason"]


def described(error):
    return {"message": error.message, "type": error.type, "code": error.code}


asyncio.run(main())
