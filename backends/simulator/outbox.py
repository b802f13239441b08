"""What is ready to be sent of one answer, between the engine's wake-up and the socket."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes that go out together."""

    body: bytes
    tokens: int = 0
    """Output tokens that it carries."""
    closing: bool = False
    """It tells the client that the answer is whole."""


class TakesFrames(Protocol):
    """Where the frames of an answer go."""

    def put(self, body: bytes, tokens: int = 0, *, closing: bool = False) -> None:
        """Take one frame."""
        ...


@dataclass(slots=True, eq=False)
class Outbox:
    """Frames in order; grows without bound for a client that does not read, as the original."""

    frames: list[Frame] = field(default_factory=list)
    ended: bool = False
    """No more frames will come."""
    failure: str | None = None
    """The engine failed; after the frames comes what this era does about it."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, body: bytes, tokens: int = 0, *, closing: bool = False) -> None:
        """Add one frame."""
        self.frames.append(Frame(body, tokens, closing))
        self._wake.set()

    def end(self, failure: str | None = None) -> None:
        """Say that no more frames will come."""
        self.ended = True
        self.failure = self.failure or failure
        self._wake.set()

    async def take(self) -> list[Frame]:
        """Wait for frames or the end, and return what is there."""
        await self._wake.wait()
        self._wake.clear()
        frames, self.frames = self.frames, []
        return frames
