"""Know a request's head by its bytes: the one before it, which was read and let in.

A client that keeps its connection sends the same head each time, but for the length of the
body. Rule: what is known here must be what a full reading would have said of it, to the byte;
whatever is not certain is left to that.
"""

import re

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order in which they came."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]{1,15}(?![0-9])")
_MORE_DIGITS = 14
"""By so many bytes a head that is known may be longer than the one that it is known by."""
_UNLIKE = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that make a request another one each time, or one that is not read at once."""


class KnownHead:
    """A head that was read in full."""

    __slots__ = ("_after", "_before", "_headers", "_length_at")

    def __init__(self, before: bytes, after: bytes, headers: Headers, length_at: int) -> None:
        """Know heads with other digits between ``before`` and ``after``.

        ``headers``: as they were read, with the length at ``length_at``.
        """
        self._before = before
        self._after = after
        self._headers = headers
        self._length_at = length_at

    def of(self, data: bytes) -> tuple[bytes, int] | None:
        """Return the length of the body, in digits, and where in ``data`` that begins.

        None where ``data`` begins with no such head.
        """
        if not data.startswith(self._before):
            return None
        digits = _DIGITS.match(data, len(self._before))
        if digits is None or not data.startswith(self._after, digits.end()):
            return None
        return digits[0], digits.end() + len(self._after)

    def headers(self, length: bytes) -> Headers:
        """Return the headers of such a head with this length."""
        headers = self._headers.copy()
        headers[self._length_at] = (b"content-length", length)
        return headers


def learn(data: bytes, headers: Headers, *, most: int) -> KnownHead | None:
    """Return what knows heads like the one that ``data`` begins with, read as ``headers``.

    None if not all of it is there, if it is not certain that the next is read alike, or if one
    with more digits could be longer than ``most`` bytes.
    """
    end = data.find(b"\r\n\r\n") + len(b"\r\n\r\n")
    found = _LENGTH.search(data, 0, end)
    if found is None or end + _MORE_DIGITS > most:
        return None
    names = [name for name, _ in headers]
    if not _UNLIKE.isdisjoint(names) or names.count(b"content-length") != 1:
        return None
    begin, stop = found.span(1)
    length_at = names.index(b"content-length")
    if headers[length_at][1] != found[1]:  # read with more than the digits, or elsewhere
        return None
    return KnownHead(data[:begin], data[stop:end], headers, length_at)
