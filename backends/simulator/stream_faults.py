"""What a faulty answer does at its appointed token.

One object stands between the frames of an answer and the socket. It sees a frame before it goes
out and returns what to send instead; None means that the answer is over and was ended its way.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from backends.simulator.connection import Connection
from backends.simulator.faults import Fault
from backends.simulator.frames import DONE, encode
from backends.simulator.outbox import Frame
from backends.simulator.replies import END, JSON, Send, send_body
from backends.simulator.requestlog import RequestEntry

GARBAGE = b'data: {"id":"chatcmpl-garbage","choices":[{"index":0,"delta":{"content":"\n\n'
LONG_LINE_BYTES = 4 << 20
SLOW_CHUNK_S = 0.1
_CHANGES = {"changed_token", "long_line"}
"""They need a frame with text in it."""
_Action = Callable[[Frame], Awaitable[Frame | None]]


class Process(Protocol):
    """What a fault may do to the whole server."""

    def crash(self) -> None:
        """Abort the process."""
        ...

    def silence_engine(self) -> None:
        """Let the engine die without a word."""
        ...

    def fail_engine(self) -> None:
        """Let the engine die and every answer with it."""
        ...


class AnswerFault:
    """Carries out one answer's fault."""

    def __init__(
        self,
        fault: Fault,
        *,
        entry: RequestEntry,
        connection: Connection,
        send: Send,
        process: Process,
        end_badly: Callable[[], Awaitable[None]],
    ) -> None:
        """Use ``end_badly`` to end a stream as an error inside the engine does."""
        self._fault = fault
        self._entry = entry
        self._connection = connection
        self._send = send
        self._process = process
        self._end_badly = end_badly
        self._fired = False
        self._sent_bytes = 0
        self._lost = asyncio.Event()
        connection.watch(self._lost.set)

    @cached_property
    def _every(self) -> Mapping[str, _Action]:
        """What happens at every frame."""
        return {
            "slow_chunks": self._slow_chunks,
            "empty_chunks": self._empty_chunks,
            "double_done": self._double_done,
            "no_done": self._no_done,
        }

    @cached_property
    def _once(self) -> Mapping[str, _Action]:
        """What happens at one frame."""
        return {
            "stall": self._stall,
            "cut": self._cut,
            "engine_error": self._engine_error,
            "end_early": self._end_early,
            "half_event": self._half_event,
            "garbage": self._garbage,
            "crash": self._crash,
            "fatal": self._fatal,
            "fatal_exit": self._fatal_exit,
            "changed_token": self._changed_token,
            "long_line": self._long_line,
        }

    async def before(self, frame: Frame) -> Frame | None:
        """Return what to send for ``frame``; None when the answer was ended here."""
        kind = self._fault.kind
        if kind == "cut" and self._fault.at_byte is not None:
            return await self._cut_at_byte(frame, self._fault.at_byte)
        if kind in self._every:
            return await self._every[kind](frame)
        if self._fired or self._entry.tokens_sent < self._fault.after_tokens:
            return frame
        if kind in _CHANGES and not frame.tokens:
            return frame
        self._fired = True
        return await self._once[kind](frame)

    def release(self) -> None:
        """Stop watching the connection, which may serve other requests."""
        self._connection.unwatch(self._lost.set)

    async def lost(self, timeout_s: float | None = None) -> None:
        """Wait until the socket is closed, or for ``timeout_s`` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._lost.wait()
        except TimeoutError:
            return

    async def strike(self) -> None:
        """Let a fault of the process happen now, outside any stream."""
        match self._fault.kind:
            case "crash":
                self._process.crash()
            case "fatal":
                self._process.silence_engine()
            case _:
                self._process.fail_engine()
        await self.lost()

    async def _put(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _cut_at_byte(self, frame: Frame, limit: int) -> Frame | None:
        room = limit - self._sent_bytes
        self._sent_bytes += len(frame.body)
        if self._sent_bytes < limit:
            return frame
        await self._put(frame.body[:room])
        await self._cut(frame)
        return None

    async def _cut(self, _frame: Frame) -> None:
        await asyncio.sleep(0)  # uvloop writes at the end of its turn; a reset drops what waits
        self._connection.reset()
        await self.lost()

    async def _stall(self, frame: Frame) -> Frame | None:
        await self.lost(self._fault.s)
        return None if self._connection.lost else frame

    async def _engine_error(self, _frame: Frame) -> None:
        await self._end_badly()

    async def _end_early(self, _frame: Frame) -> None:
        await self._send(END)

    async def _half_event(self, frame: Frame) -> None:
        await self._put(frame.body[: len(frame.body) // 2])
        await self._send(END)

    async def _garbage(self, frame: Frame) -> Frame:
        await self._put(GARBAGE)
        return frame

    async def _crash(self, _frame: Frame) -> None:
        await asyncio.sleep(0)
        self._process.crash()

    async def _fatal(self, _frame: Frame) -> None:
        self._process.silence_engine()
        await self.lost()

    async def _fatal_exit(self, _frame: Frame) -> None:
        self._process.fail_engine()
        await self._end_badly()

    async def _changed_token(self, frame: Frame) -> Frame:
        return Frame(with_text(frame.body, falsified), frame.tokens)

    async def _long_line(self, frame: Frame) -> Frame:
        size = self._fault.at_byte or LONG_LINE_BYTES
        return Frame(with_text(frame.body, lambda _: "x" * size), frame.tokens)

    async def _slow_chunks(self, frame: Frame) -> Frame | None:
        await self.lost(self._fault.s or SLOW_CHUNK_S)
        return None if self._connection.lost else frame

    async def _empty_chunks(self, frame: Frame) -> Frame:
        if frame.tokens:
            await self._put(with_text(frame.body, lambda _: "", end=False))
        return frame

    async def _double_done(self, frame: Frame) -> Frame:
        return Frame(frame.body.replace(DONE, DONE + DONE), frame.tokens)

    async def _no_done(self, frame: Frame) -> Frame:
        return Frame(frame.body.replace(DONE, b""), frame.tokens)


def falsified(text: str) -> str:
    """Return another text of the same length, where there is any."""
    return text.swapcase() if text.swapcase() != text else text.replace(text[:1], "#", 1)


def with_text(frame: bytes, change: Callable[[str], str], *, end: bool = True) -> bytes:
    """Change the text of one event's choices; ``end`` False takes finish reasons out."""
    event = json.loads(frame.removeprefix(b"data: "))
    for choice in event["choices"]:
        change_choice(choice, change)
        if not end:
            choice.pop("finish_reason", None) if "delta" in choice else choice.update(
                finish_reason=None
            )
    return b"data: " + encode(event) + b"\n\n"


def change_choice(choice: dict[str, Any], change: Callable[[str], str]) -> None:
    """Change the text of one choice, streamed or whole, chat or not."""
    holder = choice.get("delta") or choice.get("message") or choice
    for key in ("content", "text"):
        if isinstance(holder.get(key), str):
            holder[key] = change(holder[key])


async def send_whole(
    answer: AnswerFault, fault: Fault, body: bytes, send: Send, connection: Connection
) -> None:
    """Send a whole reply as ``fault`` has it; kinds that only streams have change nothing."""
    if fault.kind in {"stall", "slow_chunks"}:
        await answer.lost(fault.s if fault.kind == "stall" else fault.s or SLOW_CHUNK_S)
    if fault.kind in {"cut", "half_event", "end_early"}:
        part = body[: fault.at_byte if fault.at_byte is not None else len(body) // 2]
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", JSON)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0)
        (connection.reset if fault.kind == "cut" else connection.close)()
        await answer.lost()
        return
    if fault.kind == "garbage":
        body = body[: len(body) // 2]
    if fault.kind == "changed_token":
        value = json.loads(body)
        for choice in value["choices"]:
            change_choice(choice, falsified)
        body = encode(value)
    await send_body(send, 200, body)
