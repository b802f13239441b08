"""How HTTP/1.1 frames a body, read as strictly as RFC 9112 is written: the fuzz tests' judge.

It shares nothing with the parsers of the gateway, and prefers "broken" wherever the standard
lets a server choose.
"""

import re
from dataclasses import dataclass
from enum import Enum

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[0-9A-Za-z]+(?:=[0-9A-Za-z]+)?)*)")
_EXTENDED = re.compile(rb"[0-9A-Fa-f]{1,16}[ \t]*;")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_FRAMING = (b"content-length:", b"transfer-encoding:")
"""No trailers: RFC 9110, section 6.5.1."""
_END = b"\r\n"


class State(Enum):
    """How far a message got."""

    WHOLE = "whole"
    OPEN = "open"
    """More must come."""
    BROKEN = "broken"
    ODD = "odd"
    """No judgement: it has an extension of a chunk that is more than names and values, a
    part of a line of its trailers, or a trailer that a reader may refuse or pass over."""


@dataclass(frozen=True)
class Framed:
    """A body, and where what follows it begins."""

    state: State
    body: bytes
    """As far as it came."""
    end: int = 0
    """Right after it, if it is whole."""


def chunked(wire: bytes, at: int) -> Framed:
    """Read chunks from ``at``: RFC 9112, section 7.1."""
    body = b""
    while True:
        line_end = wire.find(_END, at)
        found = _SIZE.fullmatch(wire, at, line_end if line_end >= 0 else len(wire))
        if found is None and _EXTENDED.match(wire, at):
            return Framed(State.ODD, body)
        if line_end < 0:
            return Framed(State.OPEN if _may_become_size(wire[at:]) else State.BROKEN, body)
        if found is None:
            return Framed(State.BROKEN, body)
        size, at = int(found[1], 16), line_end + len(_END)
        if not size:
            return _trailers(wire, at, body)
        body += wire[at : at + size]
        at += size
        after = wire[at : at + len(_END)]
        if after != _END:
            return Framed(State.OPEN if _END.startswith(after) else State.BROKEN, body)
        at += len(_END)


def _may_become_size(rest: bytes) -> bool:
    return not rest or _SIZE.fullmatch(rest.removesuffix(b"\r")) is not None


def _trailers(wire: bytes, at: int, body: bytes) -> Framed:
    while True:
        line_end = wire.find(_END, at)
        if line_end < 0:
            return Framed(State.OPEN if at == len(wire) else State.ODD, body)
        line, at = wire[at:line_end], line_end + len(_END)
        if not line:
            return Framed(State.WHOLE, body, at)
        if line.lower().startswith(_FRAMING):
            return Framed(State.ODD, body)
        if _FIELD.fullmatch(line) is None:
            return Framed(State.BROKEN, body)


def counted(wire: bytes, at: int, length: int) -> Framed:
    """Read ``length`` bytes from ``at``."""
    body = wire[at : at + length]
    return Framed(State.WHOLE if len(body) == length else State.OPEN, body, at + length)
