import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import HeadTooLarge, InvalidRequest
from gateway.core.http_rules import (
    ADMIN_PORT,
    DATA_PORT,
    HeadRules,
    body_problem,
    body_time_s,
    head_problem,
    head_without_offer,
    size_problem,
)

HOST = (b"host", b"localhost:8080")
SDK = [
    HOST,
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"accept", b"application/json"),
    (b"content-type", b"application/json"),
    (b"user-agent", b"OpenAI/Python 2.8.0"),
    (b"x-stainless-lang", b"python"),
    (b"authorization", b"Bearer k"),
    (b"content-length", b"27"),
]
PORTS = pytest.mark.parametrize("rules", [DATA_PORT, ADMIN_PORT], ids=["data", "admin"])


def said(
    target=b"/v1/models", headers=(HOST,), version="1.1", rules=DATA_PORT, *, method=b"GET"
):
    """What is said of a head that is refused; None if it may pass."""
    problem = head_problem(method, target, version, list(headers), rules)
    assert problem is None or isinstance(problem, InvalidRequest)
    return problem if problem is None else str(problem)


@PORTS
def test_what_an_sdk_sends_passes(rules):
    assert said(b"/v1/chat/completions", SDK, rules=rules, method=b"POST") is None


@pytest.mark.parametrize(
    "target",
    [b"/", b"/v1/models?x=%2e%2e/%2f//..", b"/a/..b/.c/d..", b"/.well-known/x", b"/a/",
     b"/a%20b", b"/caf%C3%A9", b"/a;b=c/~d/!$&'()*+,=:@", b"/?x={\"a\":[1]}|\\^`<>",
     b"/v1/models/nvidia/Llama-3.3-70B"],
)  # fmt: skip
@PORTS
def test_paths_that_can_be_read_in_one_way_pass(target, rules):
    assert said(target, rules=rules) is None


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (b"http://evil/v1/models", "must be a path"),
        (b"HTTPS://evil/", "must be a path"),
        (b"evil:80", "must be a path"),
        (b"*", "must be a path"),
        (b"", "must be a path"),
        (b"/v1/%2e%2e/admin", "dot segment"),
        (b"/v1/.%2E/admin", "dot segment"),
        (b"/v1/../admin", "dot segment"),
        (b"/v1/./models", "dot segment"),
        (b"/v1/..", "dot segment"),
        (b"/v1/..;a=b/admin", "dot segment"),
        (b"/v1/models/..%2Fadmin", "dot segment"),
        (b"/v1%2fmodels", "encoded slash"),
        (b"/v1/model%2Fs", "encoded slash"),
        (b"//admin/x", "empty segment"),
        (b"/v1//models", "empty segment"),
        (b"/v1/models/%2Fx", "empty segment"),
        (b"/v1\\models", "as it is"),
        (b"/v1%5cmodels", "encoded character"),
        (b"/v1/models/a%5Cb", "encoded character"),
        (b"/a%00b", "encoded character"),
        (b"/a%0d%0ab", "encoded character"),
        (b"/a%7F", "encoded character"),
        (b"/a%", "encoded character"),
        (b"/a%2", "encoded character"),
        (b"/a%zz", "encoded character"),
        (b"/a#b", "as it is"),
        (b"/a?b#c", "as it is"),
        (b"/a\x00", "as it is"),
        (b"/a\tb", "as it is"),
        (b"/a b", "as it is"),
        (b"/a?b c", "as it is"),
        (b"/a\x7f", "as it is"),
        (b"/caf\xc3\xa9", "as it is"),
        (b"/a?\xff", "as it is"),
        (b'/"', "as it is"),
        (b"/{}", "as it is"),
        (b"/a\n", "as it is"),
        (b"/a?b\n", "as it is"),
    ],
)
@PORTS
def test_targets_that_two_servers_may_read_differently_are_refused(target, reason, rules):
    assert reason in said(target, rules=rules)


def test_a_models_name_may_hold_an_encoded_slash_where_models_are_named():
    named = b"/v1/models/nvidia%2FLlama-3.3-70B?x=1"
    assert said(named, rules=DATA_PORT) is None
    assert "encoded slash" in said(named, rules=ADMIN_PORT)


@pytest.mark.parametrize(
    "host",
    [b"localhost", b"localhost:8080", b"10.0.0.1:80", b"[::1]", b"[::1]:8080", b"a_b.c-d.e.",
     b" gateway ", b"GATEWAY"],
)  # fmt: skip
def test_names_and_addresses_are_hosts(host):
    assert said(headers=[(b"host", host)]) is None


@pytest.mark.parametrize(
    "host",
    [b"", b"a/x?y", b"a,b", b"a b", b"a@b", b"a:b", b"a:", b"a:123456", b"a:1:2", b"[::1",
     b"[x]", b"a#b", b"a\\b", b"a%2fb", b"h\xc3\xb6st", b"a\x00", b"a\n", b"http://a"],
)  # fmt: skip
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_other_hosts_are_refused(host, version):
    assert "Host header is not a name" in said(headers=[(b"host", host)], version=version)


def test_http_1_1_needs_one_host_and_http_1_0_takes_none_or_one():
    assert "no Host" in said(headers=[])
    assert said(headers=[], version="1.0") is None
    for version in ("1.0", "1.1"):
        for second in (HOST, (b"host", b"evil")):
            assert "more than one host" in said(headers=[HOST, second], version=version)


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", "3.0"])
def test_other_versions_are_refused(version):
    assert f"not HTTP/{version}" in said(version=version)


def test_there_is_no_tunnel():
    assert "CONNECT" in said(b"/", method=b"CONNECT")


@pytest.mark.parametrize("value", [b"0", b"27", b" 27\t", b"007", b"9" * 15])
def test_plain_lengths_pass(value):
    assert said(headers=[HOST, (b"content-length", value)]) is None


@pytest.mark.parametrize(
    "value", [b"", b" ", b"+5", b"-5", b"5, 5", b"5 5", b"0x5", b"5.0", b"\xb2", b"9" * 16]
)
def test_other_lengths_are_refused(value):
    assert "Content-Length" in said(headers=[HOST, (b"content-length", value)])


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b" chunked\t"])
def test_chunked_is_the_one_coding(value):
    assert said(headers=[HOST, (b"transfer-encoding", value)]) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"xchunked", b"chunked, identity", b"gzip, chunked", b"chunked;q=1", b'"chunked"',
     b"identity", b"gzip", b"chunked\x0b", b"chun ked", b"chunked, chunked"],
)  # fmt: skip
def test_other_codings_are_refused(value):
    refused = said(headers=[HOST, (b"transfer-encoding", value)])
    assert "Transfer-Encoding is not 'chunked'" in refused


def test_a_body_has_one_frame():
    length, coding = (b"content-length", b"5"), (b"transfer-encoding", b"chunked")
    assert "both" in said(headers=[HOST, length, coding])
    assert "both" in said(headers=[HOST, coding, (b"content-length", b"0")])
    assert "more than one content-length" in said(headers=[HOST, length, length])
    assert "more than one transfer-encoding" in said(headers=[HOST, coding, coding])
    assert "HTTP/1.0" in said(headers=[HOST, coding], version="1.0")


def test_other_headers_may_be_repeated():
    assert said(headers=[HOST, (b"accept", b"a"), (b"accept", b"b")]) is None


def refused_as_too_large(problem):
    assert type(problem) is HeadTooLarge
    return str(problem)


def test_a_head_has_at_most_a_hundred_headers():
    headers = [HOST, *[(b"x-%d" % n, b"") for n in range(99)]]
    assert said(headers=headers) is None
    headers.append((b"y", b""))
    problem = head_problem(b"GET", b"/", "1.1", headers, DATA_PORT)
    assert "more than 100 headers" in refused_as_too_large(problem)


def test_a_head_has_at_most_64_kib_to_the_byte():
    rest = len(b"GET / HTTP/1.1\r\nhost: localhost:8080\r\nx: \r\n\r\n")
    headers = [HOST, (b"x", b"v" * (65_536 - rest))]
    assert head_problem(b"GET", b"/", "1.1", headers, DATA_PORT) is None
    problem = head_problem(b"GETS", b"/", "1.1", headers, DATA_PORT)
    assert "head is over 65536 bytes" in refused_as_too_large(problem)


def test_a_head_is_not_summed_up_when_that_little_came():
    headers = [HOST, (b"x", b"v" * 70_000)]
    assert head_problem(b"GET", b"/", "1.1", headers, DATA_PORT, at_most=65_536) is None
    assert head_problem(b"GET", b"/", "1.1", headers, DATA_PORT, at_most=65_537) is not None
    assert head_problem(b"GET", b"/", "1.1", [HOST], DATA_PORT, at_most=10**6) is None


def test_a_target_has_at_most_8_kib():
    assert said(b"/" + b"a" * 8_191) is None
    problem = head_problem(b"GET", b"/" + b"a" * 8_192, "1.1", [HOST], DATA_PORT)
    assert "target is over 8192 bytes" in refused_as_too_large(problem)


def test_a_head_that_is_too_large_is_known_before_its_end():
    rules = HeadRules(headers=2, head_bytes=100, target_bytes=10)
    assert size_problem(b"/", 2, 100, rules) is None
    assert size_problem(b"/", 3, 100, rules) is not None
    assert size_problem(b"/", 2, 101, rules) is not None
    assert size_problem(b"/" * 11, 0, 11, rules) is not None


def test_a_body_in_chunks_of_one_byte_is_not_too_much_framing():
    assert body_problem(len(b"1\r\na\r\n") * 10**7, 10**7) is None
    assert body_problem(65_536, 0) is None
    assert body_problem(65_537, 0) is not None
    assert body_problem(10**6, 1_000) is not None


def test_a_body_that_keeps_coming_gets_more_time():
    assert body_time_s(30.0, 0) == 30.0
    assert body_time_s(30.0, 16_384 * 10) == 40.0
    assert body_time_s(30.0, 60) - 30.0 < 0.01  # a byte each half second


TOKENS = ["/", "a", ".", "%2e", "%2F", "%5c", "%", "%25", ";", "?", "\\", "#", "%00", " "]


@given(st.lists(st.sampled_from(TOKENS), max_size=8))
def test_a_path_that_passes_stays_the_same_when_it_is_decoded_and_tidied(tokens):
    target = "/" + "".join(tokens)
    for rules in (DATA_PORT, ADMIN_PORT):
        if said(target.encode(), rules=rules) is None:
            path = unquote(target.partition("?")[0])
            assert posixpath.normpath(path) == (path.rstrip("/") or "/")
            assert "\\" not in path


@given(st.binary(max_size=30))
def test_no_bytes_of_a_target_are_too_much_for_the_rules(target):
    if said(b"/" + target) is None:
        assert target.isascii()
        assert not any(byte <= 32 or byte == 127 for byte in target)


def test_a_head_is_written_again_without_its_offer():
    headers = [HOST, (b"connection", b"Upgrade, close"), (b"upgrade", b"h2c"), (b"x", b"\xff")]
    assert head_without_offer(b"POST", b"/a?b", "1.0", headers) == (
        b"POST /a?b HTTP/1.0\r\nhost: localhost:8080\r\nconnection: Upgrade, close\r\n"
        b"x: \xff\r\n\r\n"
    )
