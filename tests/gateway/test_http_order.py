"""Requests behind each other, bodies in pieces, and offers: what a connection may carry."""

import asyncio
import json
import logging
from functools import partial

import pytest
import uvloop

from gateway.dataplane.protocol import GuardedProtocol
from tests.fakes.asgi import Echo, Gate, Half, Listener, Path
from tests.gateway import http_probes
from tests.gateway.data_gateway import DataGateway
from tests.gateway.http_probes import CHUNKED
from tests.gateway.raw_http import serving, wait_until

get = partial(http_probes.get, target=b"/")
post = partial(http_probes.post, target=b"/")
GOOD, BAD = get(target=b"/good"), get(target=b"http://evil/")
BROKEN = post(CHUNKED, b"5\r\nhelloX0\r\n\r\n")
BODY = b"".join(b"%d," % n for n in range(2_000))
LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@LOOPS
@pytest.mark.parametrize("bad", [BAD, BROKEN, b"\x00"], ids=["head", "body", "garbage"])
def test_answers_to_the_requests_before_a_bad_one_go_out_first_and_in_order(bad, loop):
    gate = Gate(Path())
    with serving(lambda: gate, loop=loop) as port, port.connect() as client:
        client.send(get(target=b"/1") + get(target=b"/2") + bad + GOOD)
        wait_until(lambda: port.seen == 1)
        client.send(GOOD)  # nothing more is taken
        gate.open.set()
        client.read_to_the_end()
        assert client.statuses == [200, 200, 400]
        assert [each.body for each in client.answers[:2]] == [b"/1", b"/2"]
        assert port.seen == 2


def test_uvicorn_alone_answers_the_bad_one_first_and_the_others_never():
    gate = Gate(Path())
    with serving(lambda: gate, plain=True) as port, port.connect() as client:
        client.send(get(target=b"/1") + b"\x00")
        client.read_to_the_end()
        assert client.statuses == [400]
        gate.open.set()


def test_a_body_that_breaks_ends_its_own_request():
    app = Echo()
    with serving(lambda: app) as port, port.connect() as client:
        client.send(post(CHUNKED, b"5\r\nhel"), b"loX")
        client.read_to_the_end()
        assert client.statuses == [400]
        wait_until(lambda: app.left == 1)
        assert port.seen == 1


def test_a_body_that_breaks_does_not_break_into_an_answer_that_has_begun():
    app = Half()
    with serving(lambda: app) as port, port.connect() as client:
        client.send(post(CHUNKED, b""))
        client.read_some(b"half")
        client.send(b"X")
        client.read_to_the_end()
        wait_until(lambda: app.left == 1)
        (answer,) = client.answers
        assert (answer.status, answer.body, answer.whole) == (200, b"half", False)


def test_a_body_that_breaks_after_its_answer_ends_the_connection():
    with serving(Path) as port, port.connect() as client:
        client.send(post(CHUNKED, b""))
        client.read(1)
        client.send(b"X")
        client.read_to_the_end()
        assert client.statuses == [200]


def test_no_more_than_a_few_requests_may_wait_on_a_connection():
    gate = Gate(Path())
    with serving(lambda: gate) as port, port.connect() as client:
        client.send(GOOD * 40)
        gate.open.set()
        client.read_to_the_end()
        assert client.statuses == [200] * 33 + [400]
        assert port.seen == 33


def test_a_large_head_behind_another_request_is_refused_too():
    large = get(b"Host: a\r\nX: " + b"x" * 66_000 + b"\r\n")
    with serving(Path) as port, port.connect() as client:
        client.send(GOOD + large)
        client.read_to_the_end()
        assert client.statuses == [200, 431]
        assert port.seen == 1


def test_a_head_behind_a_large_body_is_not_taken_for_a_large_one():
    length = b"Content-Length: 200000\r\n"
    with serving(Echo) as port, port.connect() as client:
        client.send(post(length, b"x" * 200_000 + GOOD[:20]), GOOD[20:])
        client.read(2)
        assert client.statuses == [200, 200]


@LOOPS
@pytest.mark.parametrize("plain", [False, True], ids=["guarded", "plain"])
def test_a_request_learns_that_its_client_left_though_others_wait_behind_it(plain, loop):
    app = Listener()
    with serving(lambda: app, plain=plain, loop=loop) as port:
        with port.connect() as client:
            client.send(GOOD + GOOD)
            wait_until(lambda: port.seen == 1)
        wait_until(lambda: port.connections == 0)
        if not plain:
            wait_until(lambda: app.left == 1)
        assert app.left == (0 if plain else 1)


@LOOPS
def test_a_client_that_ends_its_side_has_left(loop):
    app = Listener()
    with serving(lambda: app, loop=loop) as port:
        for sent, seen in (
            (b"GET / HT", 0),
            (post(b"Content-Length: 9\r\n", b"x"), 1),
            (GOOD, 2),
        ):
            with port.connect() as client:
                client.send(sent)
                wait_until(lambda seen=seen: port.seen == seen)
                client.end_sending()
                assert client.read_to_the_end() == []
                wait_until(lambda seen=seen: app.left == seen)


def test_after_connection_close_nothing_is_served():
    with serving(Path) as port, port.connect() as client:
        client.send(get(b"Host: a\r\nConnection: close\r\n") + GOOD)
        client.read_to_the_end()
        assert client.statuses == [200]
        assert port.seen == 1


SMUGGLED = get(target=b"/smuggled")
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
OFFERED = pytest.mark.parametrize(
    "sent",
    [post(OFFER + LENGTH, SMUGGLED), post(OFFER + CHUNKED, CHUNK)],
    ids=["length", "chunked"],
)


@OFFERED
@pytest.mark.parametrize("cut", [None, 30, -len(SMUGGLED) - 9, -9])
def test_an_offer_to_upgrade_is_passed_over_and_its_body_is_a_body(sent, cut):
    with serving(Echo) as port, port.connect() as client:
        client.send(*([sent] if cut is None else [sent[:cut], sent[cut:]]))
        client.send(GOOD)
        client.read(2)
        assert client.statuses == [200, 200]
        told = json.loads(client.answers[0].body)
        assert told["body"].encode() == SMUGGLED
        assert "upgrade" not in dict(told["headers"])
        assert dict(told["headers"])["http2-settings"] == "AA"
        assert port.seen == 2


@OFFERED
def test_uvicorn_alone_takes_such_a_body_for_the_next_request(sent):
    head, _, body = sent.partition(b"\r\n\r\n")
    with serving(Echo, plain=True) as port, port.connect() as client:
        client.send(head + b"\r\n\r\n")
        client.read(1)
        assert json.loads(client.answers[0].body)["body"] == ""
        client.send(body)
        client.read(2)
        assert port.seen + client.statuses.count(400) == 2


def test_offers_behind_each_other_are_all_passed_over():
    web = get(b"Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n")
    with serving(Path) as port, port.connect() as client:
        client.send(web * 5)
        client.read(5)
        client.send(web)
        client.read(6)
        assert client.statuses == [200] * 6
        client.send(get(b"Connection: upgrade\r\nUpgrade: websocket\r\n"))
        client.read_to_the_end()
        assert client.statuses[6:] == [400]


@pytest.mark.parametrize("plain", [False, True], ids=["guarded", "plain"])
def test_trailers_do_not_become_headers(plain):
    with serving(Echo, plain=plain) as port, port.connect() as client:
        client.send(post(CHUNKED, b""))
        client.send(b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\nHost: evil\r\n\r\n")
        client.read(1)
        told = json.loads(client.answers[0].body)
        assert told["body"] == "hello"
        assert ("authorization" in dict(told["headers"])) is plain


@pytest.mark.parametrize(
    "around",
    [
        b"1;" + b"x" * 1_000_000,
        b"0\r\nX: " + b"x" * 1_000_000,
        b"0\r\n" + b"a: b\r\n" * 200_000,
    ],
    ids=["extension", "trailer", "trailers"],
)
@pytest.mark.parametrize("plain", [False, True], ids=["guarded", "plain"])
def test_what_stands_around_chunks_has_a_limit(around, plain):
    with serving(Echo, plain=plain) as port, port.connect() as client:
        client.send(post(CHUNKED, b""), around)
        if plain:  # it takes as much as comes
            client.send(b"\r\na\r\n0\r\n\r\n" if around[:1] == b"1" else b"\r\n\r\n")
        client.read(1)
        assert client.statuses == [200 if plain else 400]


EXPECT = b"Expect: 100-continue\r\n"


@LOOPS
@pytest.mark.parametrize("expect", [b"", EXPECT], ids=["", "expected"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_body_in_many_small_pieces_comes_whole(coding, expect, loop):
    if coding == "length":
        framing, pieces = (
            b"Content-Length: %d\r\n" % len(BODY),
            [BODY[i : i + 1] for i in range(len(BODY))],
        )
    else:
        framing = CHUNKED
        pieces = [b"1\r\n%b\r\n" % BODY[i : i + 1] for i in range(len(BODY))] + [b"0\r\n\r\n"]
    with serving(Echo, loop=loop) as port, port.connect() as client:
        client.send(post(expect + framing, b""))
        if expect:
            client.read(1)
        client.send(*pieces, GOOD)
        client.read(3 if expect else 2)
        assert client.statuses == ([100, 200, 200] if expect else [200, 200])
        assert json.loads(client.answers[-2].body)["body"].encode() == BODY


def test_such_a_body_reaches_a_handler_of_the_data_port():
    body = b'{"model":"nobody","prompt":"' + b"p" * 100_000 + b'"}'
    pieces = [b"3e8\r\n%b\r\n" % body[i : i + 1000] for i in range(0, 100_000, 1000)]
    rest = body[100_000:]
    with serving(lambda: DataGateway([]).app) as port, port.connect() as client:
        target = b"/v1/completions"
        client.send(post(CHUNKED, b"", target=target), *pieces)
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        client.read(1)
        assert json.loads(client.answers[0].body)["error"]["code"] == "model_not_found"


def test_http_1_0_is_not_asked_to_continue():
    head = http_probes.HOST + EXPECT + b"Content-Length: 5\r\n"
    with serving(Echo) as port, port.connect() as client:
        client.send(get(head, method=b"POST", version=b"HTTP/1.0"), b"hello")
        client.read_to_the_end()
        assert client.statuses == [200]


class Broken(GuardedProtocol):
    def body_came(self, body):
        raise RuntimeError(f"a bug: {body!r}")


def test_a_bug_on_the_way_in_is_told_and_logged_as_ours(caplog):
    with serving(Echo, protocol=Broken) as port, port.connect() as client:
        client.send(post(b"Content-Length: 5\r\n", b"hello"))
        client.read_to_the_end()
        assert client.statuses == [500]
        assert json.loads(client.answers[0].body)["error"]["code"] == "gateway_internal"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert str(record.exc_info[1]) == "a bug: b'hello'"


def test_a_refusal_is_worth_one_line_at_level_info(caplog):
    caplog.set_level(logging.INFO, logger="gateway")
    with serving(Path) as port, port.connect() as client:
        client.send(b"\x16\x03\x01")
        client.read_to_the_end()
    (record,) = [each for each in caplog.records if each.name.startswith("gateway")]
    assert record.levelno == logging.INFO
    assert "127.0.0.1" in record.getMessage()
    assert "not valid HTTP/1.1: Invalid method" in record.getMessage()
