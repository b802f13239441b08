import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.known_head import learn

MOST = 65_536


class Reading:
    """What a parser says of a head."""

    def __init__(self, data):
        self.url, self.headers, self.body, self.whole = b"", [], b"", False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.keeps = parser.should_keep_alive()

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        self.headers.append((name.lower(), value))

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        self.whole = True


def head(length, *, before=(b"Host: h",), after=(b"X-A: 1",), name=b"Content-Length"):
    said = (
        b"%b: %b" % (name, length) if isinstance(length, bytes) else b"%b: %d" % (name, length)
    )
    lines = [b"POST /v1/completions HTTP/1.1", *before, said, *after]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def known_by(data, *, most=MOST):
    return learn(data, Reading(data).headers, most=most)


def test_the_same_head_is_known_by_its_bytes_and_so_is_another_length():
    known = known_by(head(3) + b"abc")
    for length in (3, 0, 12_345):
        data = head(length) + b"x" * length
        assert known.of(data) == (b"%d" % length, len(head(length)))
        assert known.headers(b"%d" % length) == Reading(data).headers


_NAMES = st.sampled_from([b"Host", b"X-A", b"user-agent", b"Authorization", b"ACCEPT", b"x-b"])
_VALUES = st.text("ab1 :;=/\t", max_size=12).map(lambda text: text.strip().encode())
_LINES = st.lists(
    st.builds(
        lambda name, gap, value: name + b":" + gap + value,
        _NAMES,
        st.sampled_from([b"", b" ", b"  "]),
        _VALUES,
    ),
    max_size=5,
)
_LENGTHS = st.one_of(
    st.integers(0, 10**15 - 1).map(lambda number: b"%d" % number),
    st.sampled_from([b"007", b"", b"+1", b"1 2", b"0x1", b"1,1", b" 5", b"5 "]),
)


@given(before=_LINES, after=_LINES, lengths=st.lists(_LENGTHS, min_size=1, max_size=3))
def test_what_is_known_is_what_a_full_reading_would_have_said(before, after, lengths):
    known = known_by(head(3, before=before, after=after) + b"abc")
    for length in lengths:
        data = head(length, before=before, after=after)
        found = known.of(data)
        if found is None:
            continue
        read = Reading(data)
        assert known.headers(found[0]) == read.headers
        assert found == (dict(read.headers)[b"content-length"], len(data))


@given(at=st.integers(0, len(head(3)) - 1), byte=st.integers(0, 255))
def test_no_other_head_is_known(at, byte):
    """Whichever byte differs, but for digits of the length."""
    good = head(3)
    other = good[:at] + bytes([byte]) + good[at + 1 :]
    found = known_by(good + b"abc").of(other)
    assert (found is not None) == (other in {head(length) for length in range(10)})


@pytest.mark.parametrize("cut", range(len(head(3))))
def test_a_head_that_is_not_all_there_is_not_known(cut):
    assert known_by(head(3) + b"abc").of(head(3)[:cut]) is None


@pytest.mark.parametrize(
    "odd",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\n\r\n",
        head(3, after=(b"Expect: 100-continue",)),
        head(3, after=(b"Upgrade: h2c",)),
        head(1, name=b"X-Content-Length"),
        b"\r\n\r\n" + head(3),
        head(3)[:-2],
        head(b"3\t"),
    ],
    ids=["no length", "waits", "offers", "another name", "empty lines", "half", "with a tab"],
)
def test_nothing_is_learned_of_a_head_that_may_be_read_otherwise_next_time(odd):
    assert learn(odd, Reading(odd).headers, most=MOST) is None


def test_nothing_is_learned_of_headers_that_are_not_those_of_the_head():
    assert learn(head(3), [(b"host", b"h")], most=MOST) is None
    twice = [(b"content-length", b"3"), (b"content-length", b"3")]
    assert learn(head(3), twice, most=MOST) is None
    chunked = [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")]
    assert learn(head(3), chunked, most=MOST) is None


def test_a_head_that_is_known_is_never_longer_than_one_may_be():
    longest = head(b"9" * 15)
    assert known_by(head(3), most=len(longest) - 1) is None
    assert known_by(head(3), most=len(longest)).of(longest) is not None
    assert known_by(head(3)).of(head(b"9" * 16)) is None
