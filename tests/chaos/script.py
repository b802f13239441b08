"""What a proxy makes of one whole answer, as steps: pure, so that a unit test can read it.

An answer is heard to its end before it is passed on, so that a random byte of it is any byte of
it, the last ones included.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.chaos.faults import Injection
from tests.chaos.wire import LAST_CHUNK, Message

_TOP_BIT = 0x80
_MOST_SLICED = 2000
_GARBAGE = (
    b'data: {"id":"x","choices":[{"index":0,\n\n',
    b'data: {"choices":[{"index":0,"text":"\xff"}]}\n\n',
    b"data: <html>502 Bad Gateway</html>\n\n",
    b'data: {"choices":7}\n\n',
)
_NOT_ASKED_FOR = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull"


class End(StrEnum):
    """How an answer ends."""

    KEEP = "keep"
    """Well: the connection carries on."""
    RESET = "reset"
    HALF_CLOSE = "half_close"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes, in a packet of their own as far as that can be had."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    s: float


Step = Send | Pause | End


def perform(injection: Injection, raw: bytes) -> list[Step]:
    """Return what is done with the answer ``raw``; the last step, and no other, is an `End`."""
    rng = Random(injection.seed)
    return list(_SCRIPTS[injection.kind](Message(raw), injection.place, rng))


def in_pieces(raw: bytes, rng: Random) -> Iterator[Send]:
    """Cut bytes as a network might: anywhere."""
    at = 0
    while at < len(raw):
        size = rng.randint(1, 1500)
        yield Send(raw[at : at + size])
        at += size


def _latency(answer: Message, _place: float, rng: Random) -> Iterator[Step]:
    yield Pause(rng.uniform(0.02, 0.4))
    yield from in_pieces(answer.raw, rng)
    yield End.KEEP


def _throttle(answer: Message, _place: float, rng: Random) -> Iterator[Step]:
    size = max(1, len(answer.raw) // rng.randint(10, 40))
    for at in range(0, len(answer.raw), size):
        yield Send(answer.raw[at : at + size])
        yield Pause(rng.uniform(0, 0.02))
    yield End.KEEP


def _slices(answer: Message, place: float, rng: Random) -> Iterator[Step]:
    raw = answer.raw
    start = int(place * max(0, len(raw) - _MOST_SLICED))
    yield from in_pieces(raw[:start], rng)
    for at in range(start, min(start + _MOST_SLICED, len(raw))):
        yield Send(raw[at : at + 1])
    yield from in_pieces(raw[start + _MOST_SLICED :], rng)
    yield End.KEEP


def _ended(by: End) -> "_Script":
    def cut(answer: Message, place: float, rng: Random) -> Iterator[Step]:
        yield from in_pieces(answer.raw[: int(place * len(answer.raw))], rng)
        yield by

    return cut


def _clean_end(answer: Message, place: float, rng: Random) -> Iterator[Step]:
    body = answer.body
    kept = body[: int(place * len(body))]
    head = answer.raw[: answer.head_end]
    if answer.chunked:
        framed = b"%x\r\n%b\r\n" % (len(kept), kept) if kept else b""
        yield from in_pieces(head + framed + LAST_CHUNK, rng)
    else:
        said = b"content-length: %d" % len(kept)
        yield Send(head.replace(b"content-length: %d" % len(body), said) + kept)
    yield End.KEEP


def _flip(answer: Message, place: float, rng: Random) -> Iterator[Step]:
    offsets = [at for start, end in answer.pieces for at in range(start, end)]
    yield from in_pieces(_flipped(answer.raw, offsets[int(place * len(offsets))]), rng)
    yield End.KEEP


def _framing(answer: Message, place: float, rng: Random) -> Iterator[Step]:
    raw = answer.raw
    if answer.chunked:
        start, _ = answer.pieces[int(place * len(answer.pieces))]
        at = raw.rfind(b"\r\n", 0, start - 2) + 2
    else:
        at = raw.index(b"content-length: ") + len(b"content-length: ")
    yield from in_pieces(_flipped(raw, at), rng)
    yield End.KEEP


def _garbage(answer: Message, place: float, rng: Random) -> Iterator[Step]:
    raw, wrong = answer.raw, rng.choice(_GARBAGE)
    if answer.chunked:
        _, end = answer.pieces[int(place * len(answer.pieces))]
        # A chunk of its own before the next one, the last of size 0 included.
        framed = b"%x\r\n%b\r\n" % (len(wrong), wrong)
        yield from in_pieces(raw[: end + 2] + framed + raw[end + 2 :], rng)
    else:
        start, end = answer.pieces[0]
        yield from in_pieces(raw[:start] + (wrong * (end - start))[: end - start], rng)
    yield End.KEEP


def _null(_answer: Message, _place: float, _rng: Random) -> Iterator[Step]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\n"
    yield Send(head + b"null")
    yield End.KEEP


def _excess(answer: Message, _place: float, rng: Random) -> Iterator[Step]:
    *parts, last = in_pieces(answer.raw, rng)
    yield from parts
    # In one packet with the end: later, it would be the next answer for all that one can see.
    yield Send(last.data + _NOT_ASKED_FOR)
    yield End.KEEP


def _flipped(raw: bytes, at: int) -> bytes:
    # Nearly all is ASCII: with the top bit turned it is no UTF-8 any more, wherever it stands.
    return raw[:at] + bytes([raw[at] ^ _TOP_BIT]) + raw[at + 1 :]


_Script = Callable[[Message, float, Random], Iterator[Step]]
_SCRIPTS: Mapping[str, _Script] = {
    "latency": _latency,
    "throttle": _throttle,
    "slices": _slices,
    "reset": _ended(End.RESET),
    "half_close": _ended(End.HALF_CLOSE),
    "clean_end": _clean_end,
    "hole": _ended(End.SILENCE),
    "flip": _flip,
    "framing": _framing,
    "garbage": _garbage,
    "null": _null,
    "excess": _excess,
}
