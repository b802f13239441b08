"""Outline a large body: the same JSON, with its long strings and lists of ids left out.

Rule: what is left out was found valid first, so the outline can be decoded exactly if the body
could. A body of which too much is left to be decoded at once is refused.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from gateway.core.errors import InvalidRequest
from gateway.core.steps import Steps
from gateway.core.token_ids import has_long_number, zeroed
from gateway.core.windows import WINDOW_BYTES, Window, windows

MOST_VALUES = 1 << 18
"""Values in one body, those of long lists of token ids aside."""
_SHORTEST = 64
"""Nothing shorter is left out."""
_LONGEST_NAME = 512
_LONG_NAME_BYTES = len("\\ud83d\\ude00") * _LONGEST_NAME + 1
_STAND_IN = b"." * (_LONGEST_NAME + 1)
"""Too long for the name of a model; so is what it stands for, whichever way it is written."""
_RUN = re.compile(rb"[0-9, \t\r\n]{64,}")
_BLANK = re.compile(rb"[ \t\r\n]{64,}")
_BYTE = re.compile(r"\(byte (\d+)\)")
_ANY = msgspec.json.Decoder(Raw)
_Spare = tuple[int, int, bytes, int]
"""From where to where in a window, what stands in for it, and how many values it holds."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What is left of a body, and where it stood."""

    text: bytes
    resumes: Sequence[int]
    """Places in ``text`` right after something left out, ascending."""
    hidden: Sequence[int]
    """For each, how many bytes fewer than the body ``text`` has up to there."""

    def place(self, at: int) -> int:
        """Return where in the body the byte at ``at`` of ``text`` stands."""
        found = bisect_right(self.resumes, at)
        return at + self.hidden[found - 1] if found else at


def outline_steps(body: bytes, *, depth: int, window: int = WINDOW_BYTES) -> Steps[Outline]:
    """Outline ``body``, which may be any UTF-8, ``window`` bytes of it in each step.

    Raises:
        InvalidRequest: as `windows` says, or it holds too many values, or a long string in it
        is not valid.
    """
    kept = _Kept()
    for part in windows(body, depth=depth, length=window):
        kept.add(part)
        yield
    return Outline(b"".join(kept.parts), kept.resumes, kept.hidden)


class _Kept:
    """What the outline keeps of the windows so far."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.resumes = array("Q")
        self.hidden = array("Q")
        self._size = 0
        self._values = 0

    def add(self, window: Window) -> None:
        """Keep the next window, or what is left of it."""
        # Deep inside, strings are only looked at where they are short names without an escape.
        source = window.text if window.shallow else window.plain
        self._values += window.commas
        done = 0
        for start, end, stand_in, values in _spare(window):
            self._keep(source[done:start])
            self._leave_out(end - start, stand_in)
            self._values -= values
            done = end
        self._keep(source[done:])
        if self._values > MOST_VALUES:
            raise InvalidRequest(f"the request body holds over {MOST_VALUES} values")

    def _keep(self, text: bytes) -> None:
        self.parts.append(text)
        self._size += len(text)

    def _leave_out(self, length: int, stand_in: bytes) -> None:
        self._keep(stand_in)
        before = self.hidden[-1] if self.hidden else 0
        self.resumes.append(self._size)
        self.hidden.append(before + length - len(stand_in))


def _spare(window: Window) -> Iterator[_Spare]:
    """Say what of ``window`` can be left out, in order.

    Raises:
        InvalidRequest: a long string is not valid.
    """
    if max(map(len, window.pieces)) < _SHORTEST:
        return
    begin, in_string = 0, window.in_string
    for piece in window.pieces:
        if len(piece) >= _SHORTEST:
            end = begin + len(piece)
            if not in_string:
                yield from _spare_runs(window.text, begin, end)
            elif not window.shallow:
                _check_string(window, begin, end)
                yield begin, end, b".", 0
            elif len(piece) >= _LONG_NAME_BYTES:
                _check_string(window, begin, end)
                yield begin, end, _STAND_IN, 0
        begin += len(piece) + 1
        in_string = not in_string


def _check_string(window: Window, begin: int, end: int) -> None:
    try:
        _ANY.decode(b'"%b"' % window.text[begin:end])
    except msgspec.DecodeError as wrong:
        place = window.at + begin - 1
        raise InvalidRequest(not_json(wrong, place.__add__)) from None


def _spare_runs(text: bytes, begin: int, end: int) -> Iterator[_Spare]:
    for run in _RUN.finditer(text, begin, end):
        start, stop = run.span()
        first = text.find(b",", start, stop) + 1
        if first:
            start = text.rfind(b",", first, stop) + 1
            # The first may belong to what is before it, and only in a list can two stay.
            last = text.rfind(b",", first, max(first, start - 1)) + 1
            if last - first >= _SHORTEST and _are_ids(text[first:last]):
                yield first, last, b"", text.count(b",", first, last)
        for blank in _BLANK.finditer(text, start, stop):
            yield *blank.span(), b" ", 0


def _are_ids(run: bytes) -> bool:
    if has_long_number(zeroed(run)):
        return False
    try:
        _ANY.decode(b"[%b0]" % run)
    except msgspec.DecodeError:  # which is said when the rest is decoded
        return False
    return True


def not_json(wrong: Exception, place: Callable[[int], int]) -> str:
    """Say what is not JSON about a body; ``place`` moves a byte to where it was in the body."""
    said = _BYTE.sub(lambda found: f"(byte {place(int(found[1]))})", str(wrong))
    return f"the request body is not valid JSON: {said}"
