"""Recognise lists of token ids in JSON without making a number of any of them.

Each check is a few calls that run over the bytes in C: a prompt of a million ids costs about
what it costs to copy it. Only ids so long that they could be too large are looked at one by
one; no vocabulary has such.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

_ID = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_LISTS = msgspec.json.Decoder(list[list[_ID]])
_LONG = b"0" * len(str(2**31 - 1))
_WHITE = b" \t\r\n"
_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def zeroed(text: bytes) -> bytes:
    """Return ``text`` without white space, and with 0 for every digit."""
    return text.translate(_ZEROS, _WHITE)


def has_long_number(zeros: bytes) -> bool:
    """Whether what `zeroed` returned has a number that could be too large for a token id."""
    return _LONG in zeros


def count_lists(text: bytes) -> int | None:
    """Return how many lists of ids ``text`` holds, 0 if it is such a list itself.

    Args:
        text: valid JSON.

    Returns:
        None if it is neither, or one of the lists is empty.
    """
    if b".0" in text:  # 5.0 is a token id to trtllm-serve, whose clients may have counted so
        text = text.translate(None, _WHITE).replace(b".0,", b",").replace(b".0]", b"]")
    zeros = zeroed(text)
    brackets = zeros.translate(None, b"0,")
    lists = len(brackets) // 2 - 1
    if brackets == b"[]":
        good = len(zeros) > len(brackets)
    else:
        apart = b"[]" in zeros or b"],0" in zeros or b"0,[" in zeros
        good = not apart and lists > 0 and brackets == b"[%b]" % (b"[]" * lists)
    if good and has_long_number(zeros):
        good = _are_small(text if lists else b"[%b]" % text)
    return lists if good else None


def _are_small(lists: bytes) -> bool:
    try:
        _LISTS.decode(lists)
    except msgspec.ValidationError:
        return False
    return True
