"""A fault on its way through one answer, streamed or not."""

import asyncio
from typing import Protocol

from backends.simulator.connection import Connection
from backends.simulator.faults import Fault


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

    def __init__(self, fault: Fault, *, connection: Connection, process: Process) -> None:
        self.fault = fault
        self._connection = connection
        self._process = process
        self._lost = asyncio.Event()
        connection.watch(self._lost.set)

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
        match self.fault.kind:
            case "crash":
                self._process.crash()
            case "fatal":
                self._process.silence_engine()
            case _:
                self._process.fail_engine()
        await self.lost()
