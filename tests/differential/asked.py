"""One request of a client, and what the tests must know of it."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

PATHS = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}
PREFIXES = {"completions": "cmpl-", "chat": "chatcmpl-"}
CHUNKS = {"completions": "text_completion", "chat": "chat.completion.chunk"}


@dataclass(frozen=True)
class Asked:
    """A body for one of the two endpoints."""

    kind: str
    body: bytes

    @property
    def path(self) -> str:
        return PATHS[self.kind]

    @cached_property
    def values(self) -> dict[str, Any]:
        """Of all fields; of repeated ones the last counts, as to every reader of JSON."""
        return json.loads(self.body)

    @property
    def wants_usage(self) -> bool:
        """Asks for the event with the counts of a stream."""
        options = self.values.get("stream_options")
        return options is not None and bool(options.get("include_usage", True))
