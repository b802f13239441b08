"""Waiting for what nobody announces: by looking again and again."""

import asyncio
from collections.abc import Callable

_LOOK_S = 0.02


async def until(check: Callable[[], object]) -> None:
    """Wait until ``check`` returns something true."""
    while True:
        if check():
            return
        await asyncio.sleep(_LOOK_S)
