"""Cut a request's body into its top-level fields, whatever bytes it is made of.

Rule: time and memory grow with the length of the body and with nothing else, since these bytes
come from anyone; what is not a flat enough JSON object is refused before it is decoded.
"""

import msgspec
from msgspec import Raw

from gateway.core.errors import InvalidRequest

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def cut(body: bytes, *, depth: int) -> dict[str, Raw]:
    """Cut a JSON object into its top-level fields; of repeated names the last counts.

    Raises:
        InvalidRequest: it is not UTF-8, not JSON, not an object, or nested deeper than
        ``depth``.
    """
    if not body or body.isspace():
        raise InvalidRequest("the request body is empty; send a JSON object")
    if not body.isascii():
        _check_utf8(body)
    if body.count(b"[") + body.count(b"{") > depth:
        _check_depth(body, depth)
    try:
        return _FIELDS.decode(body)
    except msgspec.ValidationError as wrong:
        raise InvalidRequest(f"the request body must be a JSON object: {wrong}") from None
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise InvalidRequest(f"the request body is not valid JSON: {wrong}") from None


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        raise InvalidRequest(
            f"the request body is not UTF-8: {wrong.reason} at byte {wrong.start}"
        ) from None


def _check_depth(body: bytes, depth: int) -> None:
    # Without escapes, every second piece between quotes is outside of strings. Of the brackets
    # there, each round takes off the innermost level.
    pieces = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    brackets = b"".join(pieces[::2]).translate(_SQUARE, _NOT_BRACKETS)
    for _ in range(depth):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            break
        brackets = outer
    # What is never closed is no JSON either, but it must not get as far as to be decoded.
    if b"[]" in brackets or brackets.count(b"[") > depth:
        raise InvalidRequest(f"the request body is nested over {depth} levels deep")
