"""Reading a replica's HTTP answer, and carrying it to the client with no step in between.

The laws, whatever the bytes:

* Nothing but a `GatewayError` comes of them, wherever they are cut.
* The body is what a strict reader of RFC 9112 finds (`tests.fuzz.framing`); an answer is whole
  only if that reader says so, and a connection is used again only if nothing follows.
* The client gets the same, and the meter sees the same, whether each event is read in full or
  known by its likeness to the one before; and the same wherever the bytes are cut.
"""

import asyncio
import re
from dataclasses import dataclass

from gateway.core.errors import GatewayError
from gateway.dataplane.answer import Answer
from tests.fakes.splicing import CHUNKED, DONE, HEAD, LAST, Splicing, chunk, says
from tests.fuzz.framing import Framed, State, chunked, counted
from tests.fuzz.target import Target, splits

LOOP = asyncio.new_event_loop()
LOOP.close()
"""Nothing here waits."""
_INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_LENGTH = 60
_HEADS = (
    CHUNKED,
    _INTERIM + CHUNKED,
    HEAD % (b"content-length: %d\r\n" % _LENGTH),
    HEAD % b"connection: close\r\n",
    b"",
)
"""The last leaves the head to the bytes."""
_FREE = len(_HEADS) - 1
_COUNTED, _UNTIL_CLOSED = 2, 3
_CHUNK_ENDS = re.compile(rb"(?<=\n\n\r\n)")
"""Where replicas end a write, and so a read of the gateway's mostly ends."""


@dataclass
class Carried:
    """What became of an answer that was carried to a client."""

    shown: bytes
    done: bool
    failure: GatewayError | None
    meter: tuple[object, ...]
    events: int


def one(data: bytes) -> None:
    """Read an answer: a byte chooses its head, one says where to cut; the rest is its body."""
    if len(data) < 3:
        return
    kind, wire = data[0] % len(_HEADS), data[2:]
    whole = _read(kind, [wire])
    if kind != _FREE:
        _framed_as_judged(whole, _judged(kind, wire), wire)
    carried = _carried(kind, [wire])
    for parts in splits(wire, data[1]):
        _same_answer(whole, _read(kind, parts))
        _same_to_the_client(carried, _carried(kind, parts))
    by_chunk = [part for part in _CHUNK_ENDS.split(wire) if part]
    quick, full = (_carried(kind, by_chunk, lane=lane) for lane in (True, False))
    _same_to_the_client(carried, quick)
    assert (quick.shown, quick.done, quick.meter) == (full.shown, full.done, full.meter)
    assert type(quick.failure) is type(full.failure)


def _read(kind: int, parts: list[bytes]) -> Answer:
    """Return an answer that nobody has read from yet."""
    each = Splicing(loop=LOOP)
    each.arrive(*filter(None, (_HEADS[kind], *parts)))
    return each.answer


def _carried(kind: int, parts: list[bytes], *, lane: bool = True) -> Carried:
    each = Splicing(loop=LOOP)
    each.arrive(*filter(None, (_HEADS[kind],)))
    each.divert(lane=lane)
    each.arrive(*parts)
    meter, failure = each.stream.meter, each.answer.failure
    assert failure is None or isinstance(failure, GatewayError)
    return Carried(
        each.shown,
        each.stream.done,
        None if each.answer.complete else failure,  # what comes after is another matter
        (meter.first_at, meter.last_at, meter.gaps_s),
        meter.events,
    )


def _body(answer: Answer) -> bytes:
    return b"".join(body for _, body in answer._arrived)


def _judged(kind: int, wire: bytes) -> Framed:
    if kind == _COUNTED:
        return counted(wire, 0, _LENGTH)
    if kind == _UNTIL_CLOSED:
        return Framed(State.OPEN, wire)
    return chunked(wire, 0)


def _framed_as_judged(answer: Answer, judged: Framed, wire: bytes) -> None:
    assert answer.status == 200
    body = _body(answer)
    if judged.state is State.ODD:
        return
    if judged.state is State.WHOLE:
        assert answer.complete, f"refused, and sound: {answer.failure}"
        assert body == judged.body
        more = wire[judged.end :].strip(b"\r\n")  # empty lines mean nothing to anybody
        assert answer.failure is not None or not more, "more than its answer"
        return
    assert not answer.complete, "taken for whole, and is not"
    if judged.state is State.BROKEN:
        assert answer.failure is not None, "broken, and taken"
    else:
        assert answer.failure is None, f"broken off, and sound so far: {answer.failure}"
    assert body == judged.body


def _same_answer(whole: Answer, parts: Answer) -> None:
    assert (whole.status, whole.complete) == (parts.status, parts.complete)
    assert whole.complete or type(whole.failure) is type(parts.failure)
    assert _body(whole) == _body(parts)


def _same_to_the_client(whole: Carried, parts: Carried) -> None:
    assert whole.done == parts.done
    assert type(whole.failure) is type(parts.failure)
    unseen = not whole.done and not whole.shown  # it failed in the read that brought it
    assert unseen or (whole.shown, whole.events) == (parts.shown, parts.events)


_ANSWER = (says("a"), says("b"), says(" the"), says(" end"), says("", finish="stop"), DONE)
_LONE = (says("a"), says("b", number=8), says("ä", number=19), says("c" * 40, number=7))
_EACH = b"".join(map(chunk, _ANSWER)) + LAST
SEEDS = (
    b"\x00\x00" + _EACH,
    b"\x00\x05" + b"".join(map(chunk, _LONE)) + chunk(b"".join(_ANSWER[-2:])) + LAST,
    b"\x00\x00" + _EACH.replace(b'" end"', b'"\x01end"'),
    b"\x01\x02" + chunk(b"".join(_ANSWER)) + b"0\r\nx-trailer: a\r\n\r\n",
    b"\x01\x03" + b"5;a=b\r\ndata:\r\n" + LAST,
    b"\x02\x01" + says("a")[:_LENGTH],
    b"\x03\x01" + says("a"),
    b"\x04\x01" + CHUNKED + chunk(says("a")) + LAST,
    b"\x04\x00" + HEAD % b"content-length: 2\r\n" + b"{}",
    b"\x04\x00" + b"HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
    b"\x04\x00" + b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
)
WORDS = (
    b"\r\n", b"\r", b"\n", b"0\r\n\r\n", b"0\r\n", b"3\r\nabc\r\n", b";", b";a=b", b" ", b"\t",
    b"0x", b"-1", b"FFFFFFFFFFFFFFFFF", b"x-trailer: a\r\n", b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"\x00", b"\xff",
    b"data: ", b"\n\n", b'"finish_reason":"stop"', b"data: [DONE]\n\n", b": ping\n\n",
    b"\xc3\xa9", b'\\"', b'"', *map(chunk, _ANSWER[:3]),
)  # fmt: skip
TARGET = Target("answer", one, SEEDS, WORDS)
