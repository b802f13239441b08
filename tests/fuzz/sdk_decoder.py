"""How OpenAI's own client reads an event stream: newest openai-python's decoder, in process.

`scripts/sdk-clients` installs it apart from the project's packages. Only its decoder is taken,
and nothing stays on the path.
"""

import json
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

SDK = Path(__file__).parents[2] / ".sdk" / "openai-3"


@lru_cache(maxsize=1)
def _decoder() -> Any:
    if not (SDK / "openai").exists():
        raise FileNotFoundError(f"{SDK} is missing: run scripts/sdk-clients")
    sys.path.append(str(SDK))
    try:
        from openai._streaming import SSEDecoder  # noqa: PLC0415 - only where it is installed
    finally:
        sys.path.remove(str(SDK))
    return SSEDecoder


@dataclass
class Told:
    """What a client was told by a stream."""

    events: list[Any] = field(default_factory=list)
    """The JSON of each event."""
    names: list[str | None] = field(default_factory=list)
    """Of each event, as its ``event:`` line gives it."""
    done: bool = False
    """``[DONE]`` came."""
    broken: Exception | None = None
    """What the client raised."""


def told(stream: bytes, *, generous: bool = False) -> Told:
    """Read a stream as the client's ``Stream.__stream__`` does.

    ``generous`` reads on where this gateway does too, and where the client would raise: past
    events without data, past bytes that are no UTF-8 (no event with such gets through), and
    spaces around ``[DONE]``.
    """
    seen = Told()
    if generous:
        stream = stream.decode("utf-8", "replace").encode()
    try:
        for event in _decoder()().iter_bytes(iter([stream])):
            data = event.data.strip(" \n") if generous else event.data
            if generous and not data:
                continue
            if data.startswith("[DONE]"):
                seen.done = True
                break
            seen.events.append(json.loads(data))
            seen.names.append(event.event)
    except (ValueError, RecursionError) as problem:
        seen.broken = problem
    return seen
