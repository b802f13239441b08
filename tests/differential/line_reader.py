"""Read a stream as NVIDIA's benchmark client does, and compute what it reports.

It is no reader of events: each line with text on it must be ``data: `` and JSON, or the end.
What it reports follows from the chunks that have choices, one gap for each but the first.
"""

import json
from dataclasses import dataclass, field


@dataclass
class Measured:
    """One request; times are seconds since it was sent."""

    ttft: float = 0.0
    itl: list[float] = field(default_factory=list)
    latency: float = 0.0
    output_tokens: int = 0
    text: str = ""
    success: bool = False

    @property
    def structure(self):
        """Return all that does not depend on how fast it went."""
        return len(self.itl), self.output_tokens, self.text, self.success


def measure(lines, clock):
    """Read ``lines`` as they come.

    Raises:
        ValueError: a line is not what the client can read: to it the request has failed.
    """
    measured, started = Measured(), clock()
    latest = None
    for line in lines:
        text = line.strip().decode().removeprefix("data: ")
        if not text or text == "[DONE]":
            continue
        chunk, at = json.loads(text), clock() - started
        if chunk.get("choices"):
            measured.success = True
            if latest is None:
                measured.ttft = at
            else:
                measured.itl.append(at - latest)
            latest = measured.latency = at
            measured.text += _text(chunk["choices"][0])
        elif chunk.get("usage"):
            measured.output_tokens = chunk["usage"]["completion_tokens"]
    return measured


def _text(choice):
    return (choice["text"] if "text" in choice else choice["delta"].get("content")) or ""
