"""Carry out long work of the core without holding up the streams of others."""

import asyncio

from gateway.core.steps import Result, Steps


async def paced(steps: Steps[Result]) -> Result:
    """Return the result of ``steps``; between two of them all else that is ready runs."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Result = done.value
            return result
        await asyncio.sleep(0)
