"""Reading a client's requests: their framing, their heads, and what single headers say.

The laws, whatever the bytes:

* A request that is served is one that a strict reader of RFC 9112 finds at that very place
  (`tests.fuzz.sound`): method, target, headers and body. So no request hides in another.
* All that is served is the same wherever the bytes are cut.
* A request whose head is known by its bytes is served as over a connection of its own.
* The port answers with 200 or refuses with a 4xx, and says nothing after its last word.
* Single headers are read as documented, or as good as none.
"""

import asyncio
import math
import re

from gateway.core import hosts, keys
from gateway.core.patience import Patience, answered_by
from gateway.core.session import session_id
from gateway.core.snapshot import Timeouts
from gateway.dataplane import gate
from gateway.telemetry.tracecontext import read_trace_context, traceparent
from tests.fuzz.port import DIRECT, Port, Served
from tests.fuzz.sound import Sound, Unsure, read
from tests.fuzz.target import Target, splits

_LOOP = asyncio.new_event_loop()
_MOST = 8
"""Requests in one input: with many more, those that come at once are too many at once."""
_VALUE = 0
_LOCAL = r"(?:localhost|127\.0\.0\.1|\[?::1\]?)\.*(?::[0-9]*)?"


def one(data: bytes) -> None:
    """Read bytes of a client: the first says as what, the second where they are cut."""
    if len(data) < 3:
        return
    kind, cut, wire = data[0] % 4, data[1], data[2:]
    if kind == _VALUE:
        _value(wire)
    else:
        _connection(wire, cut)


def _connection(wire: bytes, cut: int) -> None:
    try:
        sound = read(wire)
    except Unsure:
        return
    if len(sound) > _MOST or wire.count(b"\r\n\r\n") > 2 * _MOST:
        return
    whole, statuses = _served(wire)
    _are_sound(whole, sound)
    assert all(status == 200 or 400 <= status < 500 for status in statuses)
    assert len(whole) <= len(statuses) <= len(whole) + 1
    for parts in splits(wire, cut):
        assert _served(*parts) == (whole, statuses), "cut elsewhere, it is another request"
    _known_as_afresh(whole, sound)


def _served(*parts: bytes) -> tuple[list[Served], list[int]]:
    port = Port(_LOOP)
    port.feed(*parts)
    port.close()
    return port.served, port.statuses


def _are_sound(served: list[Served], sound: list[Sound]) -> None:
    assert len(served) <= len(sound), "served, and none that all servers read alike"
    for given, true in zip(served, sound, strict=False):
        assert given.method == true.method
        assert given.target == _without_empty_query(true.target)
        assert given.body == true.body
        assert _without_offers(given.headers) == _without_offers(true.headers)


def _without_empty_query(target: bytes) -> bytes:
    """Return a target as an application is told of it: whether a ``?`` ends it is not."""
    path, _, query = target.partition(b"?")
    return b"%b?%b" % (path, query) if query else path


def _without_offers(headers: tuple[tuple[bytes, bytes], ...]) -> list[tuple[bytes, bytes]]:
    """Return the headers but for offers to upgrade, none of which is taken or passed on."""
    return [(name, value.strip(b" \t")) for name, value in headers if name != b"upgrade"]


def _known_as_afresh(whole: list[Served], sound: list[Sound]) -> None:
    """Ask each twice over one connection, in a read each: the second head is a known one."""
    asked = [request.raw for request in sound[: len(whole)]]
    if not asked:
        return
    twice = [raw for raw in asked for _ in range(2)]
    over_one, _ = _served(*twice)
    afresh = [given for raw in twice[: len(over_one)] for given in _served(raw)[0]]
    assert over_one == afresh, "a head that is known says something else"


def _value(value: bytes) -> None:
    """Read the bytes as the value of each header that the gateway reads."""
    _host(value)
    _trace(value)
    _waiting(value)
    _names(value)


def _host(value: bytes) -> None:
    text = value.decode("latin-1")
    allowed = hosts.allowed_hosts("127.0.0.1")
    for host, origin, form in ((text, None, ""), ("localhost", text, "https?://")):
        assert hosts.host_problem(host, origin, None) is None
        if hosts.host_problem(host, origin, allowed) is None:
            assert re.fullmatch(form + _LOCAL, text.lower()), "not what it was let in for"
    try:
        url = hosts.replica_url(text)
    except ValueError:
        return
    assert hosts.replica_url(url) == url
    assert url.isprintable()
    assert not set(url) & set(" \\@?#")


def _trace(value: bytes) -> None:
    context = read_trace_context([(b"traceparent", value), (b"tracestate", value)])
    if context is not None:
        assert 0 < context.trace_id < 2**128
        assert 0 < context.span_id < 2**64
        assert len(context.state) <= 512
        again = traceparent(context.trace_id, context.span_id, context.flags)
        assert value.strip()[2:55] == again[2:]
    assert read_trace_context([(b"traceparent", value)] * 2) is None


def _waiting(value: bytes) -> None:
    waits = gate.waits_s({b"x-stainless-timeout": value, b"x-stainless-read-timeout": b"600"})
    assert waits is not None
    assert 0 < waits <= 600
    by = answered_by(5.0, waits)
    assert 5.0 < by < 5.0 + waits
    patience = Patience(
        Timeouts(), stream=True, prompt_bytes=len(value), started_at=5.0, at=6.0, client_s=waits
    )
    assert patience.until_first() <= by
    assert math.isfinite(patience.until_next(7.0))
    declared = gate.declared_bytes({b"content-length": value})
    assert declared is None or declared >= 0


def _names(value: bytes) -> None:
    name = gate.request_id({b"x-request-id": value})
    assert name is None or (name.isascii() and name.isprintable() and 0 < len(name) <= 128)
    session = session_id({b"x-session-id": value}, {})
    assert session is None or 0 < len(session) <= 256
    problem = keys.secret_problem(value.decode("latin-1"))
    if problem is None:
        assert value.isascii()
        assert not set(value) & set(b" \t\r\n")
        assert 20 <= len(value) <= 128
    else:
        assert value.decode("latin-1") not in problem or len(value) < 4
    digest = keys.digest_key(value, b"p" * keys.PEPPER_BYTES)
    assert len(digest) == 64


def _post(body: bytes, *more: bytes, target: bytes = DIRECT) -> bytes:
    head = [b"POST %b HTTP/1.1" % target, b"Host: h", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


_CHUNKED = (
    b"POST /direct HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;a=b\r\nde\r\n0\r\nx: y\r\n\r\n"
)
_GET = b"GET /v1/models?a=b HTTP/1.1\r\nhost: localhost\r\n\r\n"
SEEDS = (
    b"\x01\x00" + _post(b"{}") + _post(b"{12}") + _post(b"{}", b"X-A: 1"),
    b"\x01\x01" + _CHUNKED + _post(b"abc"),
    b"\x01\x02" + _GET + _post(b"x", target=b"/other") + _GET,
    b"\x01\x03" + _post(b"{}", b"Expect: 100-continue") + _GET,
    b"\x01\x04" + _post(b"{}", b"Upgrade: h2c", b"Connection: Upgrade") + _GET,
    b"\x01\x05" + _post(b"{}", b"Connection: close") + _GET,
    b"\x01\x06" + b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + _GET,
    b"\x01\x07" + b"\r\n\r\n" + _post(b"") + b"\r\n" + _CHUNKED,
    b"\x00\x00127.0.0.1:8080",
    b"\x00\x00http://[::1]:8000",
    b"\x00\x0000-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01",
    b"\x00\x0012.5",
    b"\x00\x00" + b"k" * 40,
)
WORDS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b": ", b",", b"\x00", b"\x0b",
    b"Content-Length: 3\r\n", b"content-length: 0\r\n", b"Content-Length : 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer_Encoding: chunked\r\n", b"Host: a\r\n", b"Host: a@b\r\n", b" folded\r\n",
    b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"OPTIONS * ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    b"\xff", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/0.9", b"http://h/a", b"/%2e%2e/", b"//",
    b"/v1%2fmodels",
    b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"+3", b"0x3",
    b"3\r\nabc\r\n", b"00000003", b"FFFFFFFFFFFFFFFF", b";a", b"ff-", b"-", b"::1", b"@", b"#",
)  # fmt: skip
TARGET = Target("head", one, SEEDS, WORDS)
