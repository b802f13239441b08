"""The output items of a response: as values, and as the events that a stream makes of them.

The keys of events and items stand in the order of OpenAI's own models, by which the server
writes them: for events that is the order of the alphabet.
"""

from collections.abc import Callable
from typing import Any

from backends.simulator.frames import encode
from backends.simulator.outbox import Outbox

Item = dict[str, Any]
MESSAGE, REASONING = "message", "reasoning"
_WORDS = {MESSAGE: "output_text", REASONING: "reasoning_text"}
_PREFIXES = {MESSAGE: "msg_", REASONING: "rs_"}


def message_item(item_id: str, text: str | None, status: str) -> Item:
    """Return what the model said; ``text`` None while it has said nothing yet."""
    return {
        "id": item_id,
        "content": [] if text is None else [text_part(text, None)],
        "role": "assistant",
        "status": status,
        "type": MESSAGE,
    }


def text_part(text: str, logprobs: list[Any] | None) -> Item:
    """Return a message's only part."""
    return {"annotations": [], "text": text, "type": "output_text", "logprobs": logprobs}


def reasoning_item(item_id: str, text: str | None, status: str | None) -> Item:
    """Return what the model thought; ``text`` None while it has thought nothing yet."""
    content = None if text is None else [{"text": text, "type": "reasoning_text"}]
    return {
        "id": item_id,
        "summary": [],
        "type": REASONING,
        "content": content,
        "encrypted_content": None,
        "status": status,
    }


def call_item(
    new_id: Callable[[], str], name: str, arguments: str, status: str | None = None
) -> Item:
    """Return a call that the model made."""
    return {
        "arguments": arguments,
        "call_id": f"call_{new_id()}",
        "name": name,
        "type": "function_call",
        "id": f"fc_{new_id()}",
        "status": status,
    }


class ItemStream:
    """Tells of the items one after the other: each is opened by its first words.

    Every event has a number, so all events of a response go through one of these.
    """

    def __init__(self, outbox: Outbox, new_id: Callable[[], str], *, ids: bool) -> None:
        """Give items ``new_id``; without ``ids`` theirs is the empty string."""
        self._outbox = outbox
        self._new_id = new_id
        self._ids = ids
        self._number = 0
        self._index = 0
        self._open: str | None = None
        self._item_id = ""
        self._text = ""

    def event(
        self, kind: str, tokens: int = 0, *, closing: bool = False, **fields: object
    ) -> None:
        """Send one event."""
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        body = encode(dict(sorted(event.items())))
        frame = b"event: %b\ndata: %b\n\n" % (kind.encode(), body)
        self._outbox.put(frame, tokens, closing=closing)

    def say(self, kind: str, text: str, tokens: int) -> None:
        """Add ``text`` to the item of ``kind``, which is opened if another one is open."""
        if self._open != kind:
            self.close()
            self._begin(kind)
        self._text += text
        name = f"response.{_WORDS[kind]}.delta"
        self.event(name, tokens, delta=text, **self._place(), **self._logprobs(kind))

    def call(self, name: str, arguments: str) -> None:
        """Tell of a tool call, which comes as a whole."""
        self.close()
        item = call_item(self._new_id, name, arguments, "completed")
        for kind in ("added", "done"):
            self.event(f"response.output_item.{kind}", output_index=self._index, item=item)
        self._index += 1

    def close(self) -> None:
        """Close the item that is open, if one is."""
        kind, text = self._open, self._text
        if kind is None:
            return
        word, place = _WORDS[kind], self._place()
        self.event(f"response.{word}.done", text=text, **place, **self._logprobs(kind))
        if kind == MESSAGE:
            self.event("response.content_part.done", part=text_part(text, None), **place)
            item = message_item(self._item_id, text, "completed")
        else:
            item = reasoning_item(self._item_id, text, "completed")
        self.event("response.output_item.done", output_index=self._index, item=item)
        self._open, self._text = None, ""
        self._index += 1

    def _begin(self, kind: str) -> None:
        self._open = kind
        self._item_id = _PREFIXES[kind] + self._new_id() if self._ids else ""
        make = message_item if kind == MESSAGE else reasoning_item
        item = make(self._item_id, None, "in_progress")
        part = text_part("", []) if kind == MESSAGE else {"text": "", "type": "reasoning_text"}
        self.event("response.output_item.added", output_index=self._index, item=item)
        self.event("response.content_part.added", part=part, **self._place())

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": self._index, "content_index": 0}

    @staticmethod
    def _logprobs(kind: str) -> dict[str, Any]:
        return {"logprobs": []} if kind == MESSAGE else {}
