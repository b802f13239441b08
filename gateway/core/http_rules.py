"""What the head of an HTTP/1 request must be like before any application sees it.

Rule: whatever two servers could read in two ways is refused, not mended. A proxy in front
judges a request by its own reading: where ours differs, its rules can be walked round, and one
request can hide in the body of another. So these checks are stricter than a server has to be.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from gateway.core.errors import GatewayError, HeadTooLarge, InvalidRequest

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, in the order in which they came."""


@dataclass(frozen=True, slots=True)
class HeadRules:
    """What one port takes."""

    slash_below: tuple[bytes, ...] = ()
    """Paths below which a name may hold an encoded slash, as those of models do."""
    headers: int = 100
    head_bytes: int = 65_536
    target_bytes: int = 8_192


DATA_PORT = HeadRules(slash_below=(b"/v1/models/",))
ADMIN_PORT = HeadRules()

_FRAMING_BYTES = 65_536
_FRAMING_SHARE = 16
"""What may stand around the data of a chunked body: so much, and for each byte so many."""
_BODY_BYTES_PER_S = 16_384
"""A body that comes at least as fast as this is never too slow."""
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})
_SPACE = b" \t"
_MOST_DIGITS = 15
"""Of a Content-Length: no parser's integer is too small for it."""
_LINE_BYTES = len(b"  HTTP/1.1\r\n") + len(b"\r\n")
_HEADER_BYTES = len(b": \r\n")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PATH = re.compile(rb"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*")
_QUERY = re.compile(rb"[!-\"$-~]*")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def head_problem(
    method: bytes,
    target: bytes,
    version: str,
    headers: Headers,
    rules: HeadRules,
    *,
    at_most: int | None = None,
) -> GatewayError | None:
    """Say why a request with this head is refused; None if it may be served.

    Args:
        method: as it came.
        target: all that stood between method and version.
        version: such as ``1.1``.
        headers: all of them.
        rules: of the port.
        at_most: bytes that the head cannot be longer than; None if nobody counted.
    """
    if at_most is None or at_most > rules.head_bytes:
        at_most = _size(method, target, headers)
    if too_large := size_problem(target, len(headers), at_most, rules):
        return too_large
    named = dict(headers)
    problem = (
        _line_problem(method, version)
        or _target_problem(target, rules.slash_below)
        or (_repeated(headers) if len(named) < len(headers) else None)
        or _host_problem(named.get(b"host"), version)
        or _framing_problem(named, version)
    )
    return None if problem is None else InvalidRequest(problem)


def size_problem(
    target: bytes, headers: int, size: int, rules: HeadRules
) -> HeadTooLarge | None:
    """Say why a head of which this much came is too large, though more may come."""
    if len(target) > rules.target_bytes:
        return HeadTooLarge(f"the request's target is over {rules.target_bytes} bytes")
    if headers > rules.headers:
        return HeadTooLarge(f"the request has more than {rules.headers} headers")
    if size > rules.head_bytes:
        return HeadTooLarge(f"the request's head is over {rules.head_bytes} bytes")
    return None


def body_problem(came: int, body: int) -> InvalidRequest | None:
    """Say why the ``came`` bytes that brought so little of a body are refused.

    Sizes, extensions and trailers of chunks have no limit of their own.
    """
    if came <= body + _FRAMING_BYTES + _FRAMING_SHARE * body:
        return None
    return InvalidRequest("the request's body comes with too much around its chunks")


def body_time_s(limit_s: float, body: int) -> float:
    """Return how long a body may take of which so many bytes have come.

    A large body on a slow line gets what it needs, a few bytes now and then gain nothing.
    """
    return limit_s + body / _BODY_BYTES_PER_S


def head_without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Return a head as it might have come without its ``Upgrade``.

    The parts must have been parsed: nothing in them is checked or escaped again.
    """
    line = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
    rest = (b"%b: %b\r\n" % each for each in headers if each[0] != b"upgrade")
    return line + b"".join(rest) + b"\r\n"


def _size(method: bytes, target: bytes, headers: Headers) -> int:
    sizes = (len(name) + len(value) + _HEADER_BYTES for name, value in headers)
    return len(method) + len(target) + _LINE_BYTES + sum(sizes)


def _line_problem(method: bytes, version: str) -> str | None:
    if version not in {"1.1", "1.0"}:
        return f"this port speaks HTTP/1.1, not HTTP/{version}"
    return "this is no proxy: CONNECT is not possible" if method == b"CONNECT" else None


@lru_cache(maxsize=256)
def _target_problem(target: bytes, slash_below: tuple[bytes, ...]) -> str | None:
    """Take only a path with a query: RFC 9112, section 3.2.1.

    The absolute form, which section 3.2.2 has servers take, would let the request name two
    hosts.
    """
    if not target.startswith(b"/"):
        return "the request's target must be a path: this is no proxy"
    path, _, query = target.partition(b"?")
    if not (_PATH.fullmatch(path) and _QUERY.fullmatch(query)):
        return "the request's target holds a character that a URL may not hold as it is"
    if b"%" in path or b"//" in path or b"/." in path:
        return _path_problem(path, slash_below)
    return None


def _path_problem(path: bytes, slash_below: tuple[bytes, ...]) -> str | None:
    """Refuse what another server could take for another path."""
    decoded = unquote_to_bytes(path)
    if _BAD_PERCENT.search(path) or _CONTROL.search(decoded) or b"\\" in decoded:
        return "the request's path holds an encoded character that it may not hold"
    if b"//" in decoded:
        return "the request's path has an empty segment"
    if any(each.partition(b";")[0] in {b".", b".."} for each in decoded.split(b"/")):
        return "the request's path has a dot segment"
    if b"%2f" in path.lower() and not path.startswith(slash_below):
        return "the request's path holds an encoded slash"
    return None


def _repeated(headers: Headers) -> str | None:
    """Refuse two of what must be one, even if both say the same."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in _ONCE and name in seen:
            return f"the request has more than one {name.decode('ascii')} header"
        seen.add(name)
    return None


@lru_cache(maxsize=256)
def _host_problem(host: bytes | None, version: str) -> str | None:
    """Ask for one Host that is a name or an address: RFC 9112, section 3.2."""
    if host is None:
        return None if version == "1.0" else "the request has no Host header"
    if _HOST.fullmatch(host.strip(_SPACE)):
        return None
    return "the request's Host header is not a name or an address, with or without a port"


def _framing_problem(named: Mapping[bytes, bytes], version: str) -> str | None:
    """Take only bodies whose end nobody could see elsewhere: RFC 9112, section 6."""
    length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
    if coding is not None:
        return _coding_problem(coding, length, version)
    if length is not None and not _is_length(length.strip(_SPACE)):
        return "the request's Content-Length is not a plain number of bytes"
    return None


def _coding_problem(coding: bytes, length: bytes | None, version: str) -> str | None:
    if length is not None:
        return "the request has both a Content-Length and a Transfer-Encoding"
    if version == "1.0":
        return "a request of HTTP/1.0 cannot have a Transfer-Encoding"
    if coding.strip(_SPACE).lower() != b"chunked":
        return "the request's Transfer-Encoding is not 'chunked'"
    return None


def _is_length(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _MOST_DIGITS
