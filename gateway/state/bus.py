"""The bus between the supervisor and its workers: framed messages over a Unix socket.

A frame is a length (4 bytes, big-endian) and a msgpack message with a tag. Workers find the
supervisor by the socket's name in the state directory and come back to it after it was
replaced; a message that a side does not know ends the connection, and with it nothing but the
connection.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.core.outlier import Outlier
from gateway.core.snapshot import FleetSnapshot

SOCKET = "bus.sock"
_MOST_BYTES = 64 << 20
_LENGTH_BYTES = 4


class Publish(msgspec.Struct, tag="publish"):
    """To a worker: serve from this snapshot from now on."""

    snapshot: FleetSnapshot


class Scrape(msgspec.Struct, tag="scrape"):
    """To a worker: send your numbers."""

    id: int


class StandDown(msgspec.Struct, tag="stand_down"):
    """To a worker: accept no more, finish what runs within ``grace_s`` seconds, and end."""

    grace_s: float
    succeeded: bool = False
    """Whether other workers go on to accept from the same sockets."""


class Cover(msgspec.Struct, tag="cover"):
    """To a worker: accept from these sockets too, for their own workers do not serve now."""

    sockets: tuple[int, ...]
    """By their places in `WorkerSettings.sockets`; replaces what was covered before."""


class Hello(msgspec.Struct, tag="hello"):
    """To the supervisor, first of all: who speaks."""

    slot: int
    pid: int
    start_ticks: int
    generation: str
    """Id of the supervisor run that started this worker."""


class Serving(msgspec.Struct, tag="serving"):
    """To the supervisor: the data port is open."""


class Numbers(msgspec.Struct, tag="numbers"):
    """To the supervisor: the answer to `Scrape`."""

    id: int
    dump: bytes


class ReplicaFailed(msgspec.Struct, tag="replica_failed"):
    """To the supervisor: an attempt at this replica failed."""

    replica: str


class Ejected(msgspec.Struct, tag="ejected"):
    """To the supervisor: this worker leaves a replica out, and so should the others."""

    outlier: Outlier


ToWorker = Publish | Scrape | StandDown | Cover
ToSupervisor = Hello | Serving | Numbers | ReplicaFailed | Ejected

_encoder = msgspec.msgpack.Encoder()
_to_worker = msgspec.msgpack.Decoder(ToWorker)
_to_supervisor = msgspec.msgpack.Decoder(ToSupervisor)
Message = TypeVar("Message")


class Garbled(Exception):  # noqa: N818 - names the condition
    """A frame was too long, or no message of this version."""


def frame(message: ToWorker | ToSupervisor) -> bytes:
    """Return the bytes of one message."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES) + body


async def from_supervisor(reader: asyncio.StreamReader) -> AsyncIterator[ToWorker]:
    """Yield what the supervisor says, until the connection ends.

    Raises:
        Garbled: a frame cannot be read.
    """
    async for body in _frames(reader):
        yield _decoded(_to_worker, body)


async def from_worker(reader: asyncio.StreamReader) -> AsyncIterator[ToSupervisor]:
    """Yield what a worker says, until the connection ends.

    Raises:
        Garbled: a frame cannot be read.
    """
    async for body in _frames(reader):
        yield _decoded(_to_supervisor, body)


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
            if size > _MOST_BYTES:
                raise Garbled(f"a frame of {size} bytes")
            body = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        yield body


def _decoded(decoder: msgspec.msgpack.Decoder[Message], body: bytes) -> Message:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as wrong:
        raise Garbled(str(wrong)) from None


@contextmanager
def socket_path(state_dir: Path) -> Iterator[str]:
    """Give a short name of the bus's socket.

    Unix socket names end at 107 bytes, paths do not.
    """
    folder = os.open(state_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
