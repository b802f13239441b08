"""Small applications for servers under test."""

import asyncio
import json
import threading

HEAD = {"type": "http.response.start", "status": 200}


async def _reply(send, body):
    length = (b"content-length", b"%d" % len(body))
    await send(HEAD | {"headers": [length]})
    await send({"type": "http.response.body", "body": body})


class Echo:
    """Reads the whole body, then tells of the request; counts clients that left before."""

    def __init__(self):
        self.left = 0

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        told = {"method": scope["method"], "body": body.decode(), "headers": headers}
        await _reply(send, json.dumps(told).encode())


class Path:
    """Answers with the path, and reads nothing."""

    async def __call__(self, scope, receive, send):  # noqa: ARG002 - ASGI
        await _reply(send, scope["raw_path"])


class Gate:
    """Another application, once it is opened."""

    def __init__(self, app):
        self.open = threading.Event()
        self.app = app

    async def __call__(self, scope, receive, send):
        while not self.open.is_set():  # noqa: ASYNC110 - another thread opens it
            await asyncio.sleep(0.01)
        await self.app(scope, receive, send)


class Listener:
    """Waits for its client to leave, and answers nothing; counts those that did."""

    def __init__(self):
        self.left = 0

    async def __call__(self, scope, receive, send):  # noqa: ARG002 - ASGI
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1


class Half:
    """Answers with a part of a stream, then waits for its client to send more or to leave."""

    def __init__(self):
        self.left = 0

    async def __call__(self, scope, receive, send):  # noqa: ARG002 - ASGI
        await send(HEAD | {"headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1


class Large:
    """Answers with more than lies between two sockets."""

    async def __call__(self, scope, receive, send):  # noqa: ARG002 - ASGI
        await _reply(send, b"x" * 32_000_000)
