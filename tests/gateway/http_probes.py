"""Requests in raw bytes that a server must not take; which of them uvicorn alone takes."""

from dataclasses import dataclass

HOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Probe:
    """One request that is refused; ``PATH`` in it stands for one that is served."""

    name: str
    sent: bytes
    status: int = 400
    seen: int = 0
    """Requests that reach the application all the same: one whose head was sound."""
    plain: int = 0
    """Requests that reach the application when uvicorn is alone."""

    def at(self, path):
        return self.sent.replace(b"PATH", path)


def get(headers=HOST, *, target=b"PATH", version=b"HTTP/1.1", method=b"GET", body=b""):
    return b"%b %b %b\r\n%b\r\n%b" % (method, target, version, headers, body)


def post(headers, body, *, target=b"PATH"):
    return get(HOST + headers, target=target, method=b"POST", body=body)


FRAMING = [
    Probe("length and coding", post(b"Content-Length: 5\r\n" + CHUNKED, HELLO)),
    Probe("coding and length", post(CHUNKED + b"Content-Length: 5\r\n", HELLO)),
    Probe("two codings in two headers", post(CHUNKED + CHUNKED, HELLO)),
    Probe("space before the colon", post(b"Transfer-Encoding : chunked\r\n", HELLO)),
    Probe("vertical tab in the coding", post(b"Transfer-Encoding: \x0bchunked\r\n", HELLO)),
    Probe("unknown coding", post(b"Transfer-Encoding: xchunked\r\n", HELLO), plain=1),
    Probe("coding in quotes", post(b'Transfer-Encoding: "chunked"\r\n', HELLO), plain=1),
    Probe(
        "coding with a parameter", post(b"Transfer-Encoding: chunked;q=1\r\n", HELLO), plain=1
    ),
    Probe("identity", post(b"Transfer-Encoding: identity\r\n", HELLO), plain=1),
    Probe("two codings", post(b"Transfer-Encoding: gzip, chunked\r\n", HELLO), plain=1),
    Probe("coding in HTTP/1.0", get(CHUNKED, version=b"HTTP/1.0", body=HELLO), plain=1),
    Probe("two equal lengths", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello")),
    Probe("two lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!")),
    Probe("list of lengths", post(b"Content-Length: 5, 5\r\n", b"hello")),
    Probe("length with a sign", post(b"Content-Length: +5\r\n", b"hello")),
    Probe("length in hexadecimal", post(b"Content-Length: 0x5\r\n", b"hello")),
    Probe("no length in the header", post(b"Content-Length:\r\n", b"hello")),
    Probe("length of 65 bits", post(b"Content-Length: 18446744073709551616\r\n", b"hello")),
    Probe(
        "length of 64 bits", post(b"Content-Length: 18446744073709551615\r\n", b"h"), plain=1
    ),
]
HEADERS = [
    Probe("NUL in a value", get(HOST + b"X: a\x00b\r\n")),
    Probe("control character in a value", get(HOST + b"X: a\x01b\r\n")),
    Probe("bare CR", get(HOST + b"X: a\rb\r\n")),
    Probe("bare LF in a header", get(HOST + b"X: a\nY: b\r\n")),
    Probe("bare LF in the first line", get(b"\nHost: localhost\r\n", version=b"HTTP/1.1")),
    Probe("bare LF at the end", b"GET PATH HTTP/1.1\r\nHost: localhost\n\n"),
    Probe("folded value", get(HOST + b"X: a\r\n b\r\n")),
    Probe("space before the first header", get(b" X: y\r\n" + HOST)),
    Probe("no name", get(HOST + b": a\r\n")),
    Probe("space in a name", get(HOST + b"a b: c\r\n")),
    Probe("no colon", get(HOST + b"nothing\r\n")),
    Probe("2,000 headers", get(HOST + b"a: b\r\n" * 2_000), status=431, plain=1),
    Probe("header of 1 MB", get(HOST + b"X: " + b"x" * 1_000_000 + b"\r\n"), 431, plain=1),
    Probe("name of 1 MB", get(HOST + b"x" * 1_000_000 + b": y\r\n"), 431, plain=1),
    Probe("header of 70 kB", get(HOST + b"X: " + b"x" * 70_000 + b"\r\n"), 431, plain=1),
    Probe("target of 9 kB", get(target=b"PATH?" + b"x" * 9_000), 431, plain=1),
    Probe("target of 1 MB", get(target=b"PATH?" + b"x" * 1_000_000), 431),
]
HOSTS = [
    Probe("no Host", get(b""), plain=1),
    Probe("two Hosts", get(HOST + b"Host: evil\r\n"), plain=1),
    Probe("two equal Hosts", get(HOST + HOST), plain=1),
    Probe("Host with a path", get(b"Host: a/x?y\r\n"), plain=1),
    Probe("Host with a user", get(b"Host: a@localhost\r\n"), plain=1),
    Probe("empty Host", get(b"Host:\r\n"), plain=1),
]
TARGETS = [
    Probe("whole URL", get(target=b"http://evilPATH"), plain=1),
    Probe("authority", get(target=b"evil:80")),
    Probe("tunnel", get(target=b"evil:80", method=b"CONNECT")),
    Probe("asterisk", get(target=b"*", method=b"OPTIONS"), plain=1),
    Probe("encoded dot segment", get(target=b"/v1/%2e%2ePATH"), plain=1),
    Probe("dot segment", get(target=b"/v1/..PATH"), plain=1),
    Probe("encoded slash", get(target=b"/v1%2fmodels"), plain=1),
    Probe("encoded slash and dots", get(target=b"/v1/models/..%2f..%2fadmin"), plain=1),
    Probe("empty segment", get(target=b"/PATH"), plain=1),
    Probe("encoded backslash", get(target=b"/v1%5c..PATH"), plain=1),
    Probe("backslash", get(target=b"\\v1\\models")),
    Probe("encoded NUL", get(target=b"PATH%00"), plain=1),
    Probe("fragment", get(target=b"PATH#x"), plain=1),
    Probe("not ASCII", get(target=b"PATH\xc3\xa9")),
    Probe("control character", get(target=b"PATH\x01")),
    Probe("space", get(target=b"PATH x")),
]
LINES = [
    Probe("HTTP/2.0", get(version=b"HTTP/2.0"), plain=1),
    Probe("HTTP/0.9", b"GET PATH\r\n\r\n", plain=1),
    Probe("HTTP/1.2", get(version=b"HTTP/1.2")),
    Probe("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Probe("unknown method", get(method=b"BREW")),
    Probe("method in lower case", get(method=b"get")),
    Probe("greeting of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
]
CHUNKS = [
    Probe("size that is no number", post(CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("size with a sign", post(CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("size with a prefix", post(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("space before the size", post(CHUNKED, b" 5\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("no size", post(CHUNKED, b"\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("size of 68 bits", post(CHUNKED, b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("bare LF after the size", post(CHUNKED, b"5\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("bare LF after the data", post(CHUNKED, b"5\r\nhello\n0\r\n\r\n"), 400, 1, 1),
    Probe("bare LF in an extension", post(CHUNKED, b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("data longer than its size", post(CHUNKED, b"5\r\nhello!\r\n0\r\n\r\n"), 400, 1, 1),
    Probe("bare LF at the end", post(CHUNKED, b"5\r\nhello\r\n0\r\n\n"), 400, 1, 1),
    Probe("length in a trailer", post(CHUNKED, b"0\r\nContent-Length: 7\r\n\r\n"), 400, 1, 1),
]
PROBES = [*FRAMING, *HEADERS, *HOSTS, *TARGETS, *LINES, *CHUNKS]
