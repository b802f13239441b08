"""What trtllm-serve takes for a flag or a number besides what JSON calls one.

Its reader (pydantic) is generous: ``true`` is 1, 1.0 is true, and "yes" and " 5 " will do. A
request that works with it must not fail here, so what did not decode is tried again as these.
"""

from collections.abc import Iterator

_LONGEST = 64
_TRUE = frozenset({b'"yes"', b'"y"', b'"on"', b'"t"'})
_FALSE = frozenset({b'"no"', b'"n"', b'"off"', b'"f"'})


def respelled(text: bytes) -> Iterator[bytes]:
    """Yield plainer ways to write the value ``text``; none for what is long or has none."""
    if len(text) > _LONGEST:
        return
    text = text.lower()
    if text in {b"true", b"false"}:
        yield b"1" if text == b"true" else b"0"
    elif text in _TRUE or text in _FALSE:
        yield b"true" if text in _TRUE else b"false"
    elif text[:1] == b'"':
        yield b'"%b"' % text[1:-1].strip().replace(b"_", b"")
    else:
        yield from _flag(text)


def _flag(text: bytes) -> Iterator[bytes]:
    try:
        number = float(text)
    except ValueError:
        return
    if number in {0.0, 1.0}:
        yield b"true" if number else b"false"
