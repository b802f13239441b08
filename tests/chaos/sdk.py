"""Runs many calls through a real OpenAI client, each kind in one process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.calls import NODE, PYTHON, Call
from tests.chaos.checker import Ended, Seen
from tests.sdk.clients import NODE as NODE_PROGRAM
from tests.sdk.clients import NODE_PROJECT, SDK

_HERE = Path(__file__).parent
_NEWEST = SDK / "openai-3"
_COMMANDS = {
    PYTHON: [sys.executable, "-S", str(_HERE / "openai_python.py")],
    NODE: [str(NODE_PROGRAM), str(_HERE / "openai_node.mjs")],
}
_NEEDED = {PYTHON: _NEWEST / "openai", NODE: NODE_PROJECT / "node_modules" / "openai"}


class ClientFailed(RuntimeError):  # noqa: N818 - names the condition
    """The program did not do its work; the message says what it said."""


async def ask_all(
    client: str, url: str, calls: Sequence[Call], *, concurrency: int, limit_s: float
) -> list[Seen]:
    """Make all calls, ``concurrency`` at a time.

    Raises:
        ClientFailed: the client is not installed, or broke.
    """
    if not calls:
        return []
    if not _NEEDED[client].exists():
        raise ClientFailed(f"{client} is not installed: run scripts/sdk-clients")
    asked = [
        {key: getattr(call, key) for key in ("number", "id", "chat", "stream", "body")}
        for call in calls
    ]
    job = {
        "base_url": f"{url}/v1",
        "concurrency": concurrency,
        "limit_s": limit_s,
        "calls": asked,
    }
    process = await asyncio.create_subprocess_exec(
        *_COMMANDS[client],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(_NEWEST),
        },
    )
    try:
        out, err = await process.communicate(json.dumps(job).encode())
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise ClientFailed(f"{client} ended with {process.returncode}:\n{err.decode()[-4000:]}")
    return [Seen(**{**each, "ended": Ended(each["ended"])}) for each in json.loads(out)]
