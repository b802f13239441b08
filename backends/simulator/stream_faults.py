"""What a faulty answer does at its appointed token.

One object stands between the frames of an answer and the socket. It sees a frame before it goes
out and returns what to send instead; None means that the answer is over and was ended its way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cached_property

from backends.simulator.answer_fault import AnswerFault, Process
from backends.simulator.arrival import Arrival
from backends.simulator.faults import Fault
from backends.simulator.frame_text import change_frame, falsified
from backends.simulator.outbox import Frame
from backends.simulator.replies import END, Send

LONG_LINE_BYTES = 4 << 20
SLOW_CHUNK_S = 0.1
_CHANGES = {"changed_token", "long_line"}
"""They need a frame with text in it."""
_Action = Callable[[Frame], Awaitable[Frame | None]]


class StreamFault(AnswerFault):
    """Carries out the fault of an answer that may be streamed."""

    def __init__(
        self,
        fault: Fault,
        *,
        arrival: Arrival,
        send: Send,
        process: Process,
        garbage: bytes,
        end_badly: Callable[[], Awaitable[None]],
    ) -> None:
        """Use ``end_badly`` to end a stream as an error inside the engine does.

        ``garbage`` is an event that is not JSON.
        """
        super().__init__(fault, connection=arrival.connection, process=process)
        self._garbage_event = garbage
        self._entry = arrival.entry
        self._send = send
        self._end_badly = end_badly
        self._fired = False
        self._sent_bytes = 0

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
        kind = self.fault.kind
        if kind == "cut" and self.fault.at_byte is not None:
            return await self._cut_at_byte(frame, self.fault.at_byte)
        if kind in self._every:
            return await self._every[kind](frame)
        if self._fired or self._entry.tokens_sent < self.fault.after_tokens:
            return frame
        if kind in _CHANGES and (frame.closing or not frame.tokens):
            return frame
        self._fired = True
        return await self._once[kind](frame)

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
        await self.lost(self.fault.s)
        return None if self._connection.lost else frame

    async def _engine_error(self, _frame: Frame) -> None:
        await self._end_badly()

    async def _end_early(self, _frame: Frame) -> None:
        await self._send(END)

    async def _half_event(self, frame: Frame) -> None:
        await self._put(frame.body[: len(frame.body) // 2])
        await self._send(END)

    async def _garbage(self, frame: Frame) -> Frame:
        await self._put(self._garbage_event)
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
        return replace(frame, body=change_frame(frame.body, falsified))

    async def _long_line(self, frame: Frame) -> Frame:
        size = self.fault.at_byte or LONG_LINE_BYTES
        return replace(frame, body=change_frame(frame.body, lambda _: "x" * size))

    async def _slow_chunks(self, frame: Frame) -> Frame | None:
        await self.lost(self.fault.s or SLOW_CHUNK_S)
        return None if self._connection.lost else frame

    async def _empty_chunks(self, frame: Frame) -> Frame:
        if frame.tokens and not frame.closing:
            await self._put(change_frame(frame.body, lambda _: "", end=False))
        return frame

    async def _double_done(self, frame: Frame) -> Frame:
        return replace(frame, body=frame.body * 2) if frame.closing else frame

    async def _no_done(self, frame: Frame) -> Frame:
        return replace(frame, body=b"") if frame.closing else frame
