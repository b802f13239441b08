"""Requests of HTTP/1.1 read as strictly as RFC 9112 is written: the fuzz tests' judge.

It shares nothing with the parsers of the gateway. Where the standard lets a server choose it
gives up: what a server serves beyond that, it has read in a way that another may not.
"""

import re
from dataclasses import dataclass

from tests.fuzz.framing import Framed, State, chunked, counted

_LINE = re.compile(rb"([A-Z-]+) +(/[!-~]*) +HTTP/(1\.[01])")
"""Section 3 lets a server take several spaces for one; none takes them for part of the rest."""
_FIELD = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\xff]|[ \t])*?)[ \t]*", re.DOTALL
)
_HOST = re.compile(rb"[A-Za-z0-9._~-]+(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
_DIGITS = re.compile(rb"[0-9]{1,15}")
_EMPTY = b"\r\n\r\n"


@dataclass(frozen=True)
class Sound:
    """A request as any server must read it."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    """Names in lower case."""
    body: bytes
    raw: bytes
    """All of it as it came."""


class Unsure(Exception):  # noqa: N818 - names the condition
    """What comes is framed in a way that the judge has no opinion of."""


def read(wire: bytes) -> list[Sound]:
    """Return the whole requests at the start of ``wire``, up to the first that is none.

    Raises:
        Unsure: see there.
    """
    found, at = [], 0
    while (request := _one(wire, at)) is not None:
        found.append(request)
        at += len(request.raw)
    return found


def _one(wire: bytes, begin: int) -> Sound | None:
    at = begin
    while wire[at : at + 1] in {b"\r", b"\n"}:  # section 2.2; nothing can hide in them
        at += 1
    end = wire.find(_EMPTY, at)
    if end < 0:
        return None
    first, *lines = wire[at:end].split(b"\r\n")
    line, fields = _LINE.fullmatch(first), [_FIELD.fullmatch(each) for each in lines]
    if line is None or not all(fields):
        return None
    headers = tuple((field[1].lower(), field[2]) for field in fields if field)
    framed = _framed(wire, end + len(_EMPTY), headers, line[3])
    if framed is None or framed.state in {State.OPEN, State.BROKEN}:
        return None
    if framed.state is State.ODD:
        raise Unsure
    return Sound(line[1], line[2], headers, framed.body, wire[begin : framed.end])


def _framed(
    wire: bytes, at: int, headers: tuple[tuple[bytes, bytes], ...], version: bytes
) -> Framed | None:
    hosts = [value for name, value in headers if name == b"host"]
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if len(hosts) != 1 and (hosts or version == b"1.1"):
        return None
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        return None
    if codings:
        plain = [coding.lower() for coding in codings] == [b"chunked"] and version == b"1.1"
        return chunked(wire, at) if plain and not lengths else None
    if lengths:
        plain = len(lengths) == 1 and _DIGITS.fullmatch(lengths[0]) is not None
        return counted(wire, at, int(lengths[0])) if plain else None
    return Framed(State.WHOLE, b"", at)
