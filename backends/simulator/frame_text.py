"""Finds the text in an event or a reply of any endpoint, and puts another in its place.

Faults that change text work on what is about to be sent, so they need not know which endpoint
they met.
"""

import json
from collections.abc import Callable
from typing import Any

from backends.simulator.frames import encode

Change = Callable[[str], str]
_TEXTS = ("content", "text", "delta", "thinking")
"""Keys that have text where their value is a string."""


def falsified(text: str) -> str:
    """Return another text of the same length, where there is any."""
    return text.swapcase() if text.swapcase() != text else text.replace(text[:1], "#", 1)


def change_frame(frame: bytes, change: Change, *, end: bool = True) -> bytes:
    """Change the text of one event; ``end`` False takes finish reasons out."""
    head, _, data = frame.partition(b"data: ")
    event = json.loads(data)
    for holder in _holders_in_event(event):
        _change(holder, change)
    for choice in event.get("choices", ()) if not end else ():
        if "delta" in choice:
            choice.pop("finish_reason", None)
        else:
            choice["finish_reason"] = None
    return head + b"data: " + encode(event) + b"\n\n"


def change_reply(body: bytes, change: Change) -> bytes:
    """Change all the text of a whole reply."""
    value = json.loads(body)
    for holder in _holders_in_reply(value):
        _change(holder, change)
    return encode(value)


def _change(holder: dict[str, Any], change: Change) -> None:
    for key in _TEXTS:
        if isinstance(holder.get(key), str):
            holder[key] = change(holder[key])


def _holders_in_event(event: dict[str, Any]) -> list[dict[str, Any]]:
    if "choices" in event:
        return [choice.get("delta") or choice for choice in event["choices"]]
    delta = event.get("delta")
    return [delta] if isinstance(delta, dict) else [event]


def _holders_in_reply(value: dict[str, Any]) -> list[dict[str, Any]]:
    if "choices" in value:
        return [choice.get("message") or choice for choice in value["choices"]]
    items = value.get("output", [value])
    return [part for item in items for part in item.get("content") or ()]
