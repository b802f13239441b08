"""Look at a body window by window: what is inside of its strings, and how deep it nests.

Rule: whatever the bytes are, one window costs little, and it ends within no character and no
escape: what is in it can be judged by itself.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from gateway.core.errors import InvalidRequest
from gateway.core.steps import Steps

WINDOW_BYTES = 1 << 16
MOST_CONTAINERS = 1 << 17
"""Objects and lists in one body."""
_UNFINISHED = re.compile(
    rb"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?"
)
"""An escape that goes on, or half a pair of surrogates."""
_LONGEST_UNFINISHED = 11
_BACK = 64
"""How far from its full length a window may end at a comma."""
_BACKSLASH = ord("\\")
_CONTINUED = 0x80
"""How a byte of UTF-8 begins that is not a character's first."""
_TURNS = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class Window(NamedTuple):
    """A part of a body."""

    at: int
    """Where in the body it begins."""
    text: bytes
    plain: bytes
    """The same, without escaped quotes and backslashes."""
    pieces: list[bytes]
    """What is between the quotes of ``plain``; every other one is in a string."""
    in_string: bool
    """Whether the first piece is."""
    commas: int
    """Those outside of strings."""
    shallow: bool
    """Whether some of it belongs to no list or object but the body itself."""


def windows(body: bytes, *, depth: int, length: int = WINDOW_BYTES) -> Iterator[Window]:
    """Cut ``body``, which may be any UTF-8, into windows of about ``length`` bytes.

    Raises:
        InvalidRequest: it is nested deeper than ``depth``, or made of too many lists and
        objects.
    """
    begin = end = level = containers = 0
    in_string = False
    while end < len(body):
        begin, end = end, _end(body, end, length)
        text = body[begin:end]
        plain = text
        if b"\\" in text:  # a quote that is escaped ends no string
            plain = text.replace(b"\\\\", b"..").replace(b'\\"', b"..")
        pieces = plain.split(b'"')
        outside = b"".join(pieces[in_string::2])
        turns = outside.translate(_TURNS, _NOT_BRACKETS)
        levels = [*accumulate(memoryview(turns).cast("b"), initial=level)]
        containers += turns.count(b"\x01")
        _check(max(levels), depth, containers)
        shallow, commas = min(levels) <= 1, outside.count(b",")
        yield Window(begin, text, plain, pieces, in_string, commas, shallow)
        level = levels[-1]
        in_string ^= len(pieces) % 2 == 0


def depth_steps(body: bytes, *, depth: int) -> Steps[None]:
    """Check that ``body`` is not nested deeper than ``depth``.

    Raises:
        InvalidRequest: as `windows` says.
    """
    for _ in windows(body, depth=depth):
        yield


def _check(deepest: int, depth: int, containers: int) -> None:
    if deepest > depth:
        raise InvalidRequest(f"the request body is nested over {depth} levels deep")
    if containers > MOST_CONTAINERS:
        raise InvalidRequest(f"the request body holds over {MOST_CONTAINERS} objects and lists")


def _end(body: bytes, begin: int, length: int) -> int:
    """Return where the window from ``begin`` ends: after a comma, if one is near."""
    end = begin + length
    if end >= len(body):
        return len(body)
    comma = body.rfind(b",", end - _BACK, end)
    if comma > begin:
        return comma + 1
    while body[end] & 0xC0 == _CONTINUED:
        end -= 1
    for start in range(end - _LONGEST_UNFINISHED, end):
        if body[start] == _BACKSLASH and _UNFINISHED.fullmatch(body, start, end):
            before = body[begin:start]
            backslashes = len(before) - len(before.rstrip(b"\\"))
            if backslashes % 2 == 0:  # else this one is itself escaped
                return start
    return end
