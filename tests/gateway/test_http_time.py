"""A client that does not do its part in time loses its connection; uvicorn alone waits on."""

import json
import logging
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import pytest

from gateway.api.problems import as_problem
from gateway.core.http_rules import ADMIN_PORT
from tests.fakes.asgi import Echo, Gate, Half, Large, Path
from tests.fakes.fleet import FakeFleet
from tests.gateway import http_probes
from tests.gateway.admin_client import create_app
from tests.gateway.raw_http import PATIENT, serving, wait_until

get = partial(http_probes.get, target=b"/")
post = partial(http_probes.post, target=b"/")
LATER_S = 2.5
"""Longer than any limit here that a client could meet, and the watch's next look after it."""
HEAD_SOON = replace(PATIENT, header_s=1)
BODY_SOON = replace(PATIENT, body_s=0.3)
BOTH_SOON = replace(PATIENT, header_s=1, body_s=1)
IDLE_SOON = replace(PATIENT, keep_alive_s=0.3)
REST = b"calhost\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nHost: lo"
TEN = b"Content-Length: 10\r\n"


@contextmanager
def with_and_without(make_app, limits):
    """Give a client of a guarded server and one of uvicorn alone."""
    with ExitStack() as stack:
        ports = [stack.enter_context(serving(make_app, limits, plain=p)) for p in (False, True)]
        yield [(port, stack.enter_context(port.connect())) for port in ports]


def timed_out(client):
    """The body of the one answer that says so, on a connection that is closed."""
    client.read_to_the_end()
    assert client.statuses[-1] == 408
    answer = client.answers[-1]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["connection"] == "close"
    return json.loads(answer.body)


def test_a_head_that_does_not_come_whole_is_given_up():
    with with_and_without(Echo, HEAD_SOON) as [(port, guarded), (_, plain)]:
        for client in (guarded, plain):
            client.send(BEGUN)
        error = timed_out(guarded)["error"]
        assert (error["code"], error["type"]) == ("request_timeout", "invalid_request_error")
        assert error["message"] == "the request's head did not come within 1 s"
        assert port.seen == 0
        plain.send(REST)  # uvicorn waits on
        plain.read(1)
        assert plain.statuses == [200]


def test_a_head_that_drips_in_is_given_up():
    with serving(Echo, HEAD_SOON) as port, port.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        client.drip(b"x")
        timed_out(client)


def test_the_head_of_a_later_request_has_its_time_too():
    with serving(Echo, HEAD_SOON) as port, port.connect() as client:
        client.send(get() + BEGUN)
        timed_out(client)
        assert client.statuses == [200, 408]


def test_a_connection_without_a_request_is_closed_without_a_word():
    with with_and_without(Echo, HEAD_SOON) as [(_, guarded), (_, plain)]:
        assert guarded.read_to_the_end() == []
        plain.send(get())
        plain.read(1)
        assert plain.statuses == [200]


def test_empty_lines_win_no_time():
    with serving(Echo, HEAD_SOON) as port, port.connect() as client:
        client.drip(b"\r\n")
        wait_until(lambda: port.connections == 0)
        assert port.seen == 0


def test_between_requests_a_client_has_longer():
    with serving(Echo, BOTH_SOON) as port, port.connect() as client:
        for n in (1, 2):
            client.send(get())
            client.read(n)
            time.sleep(LATER_S)
        assert client.statuses == [200, 200]


def test_after_that_the_connection_is_closed_without_a_word():
    with serving(Echo, IDLE_SOON) as port, port.connect() as client:
        client.send(get())
        client.read_to_the_end()
        assert client.statuses == [200]


def test_a_body_that_does_not_come_whole_is_given_up_and_its_request_told():
    apps = []

    def make_app():
        apps.append(Echo())
        return apps[-1]

    with with_and_without(make_app, BODY_SOON) as [(port, guarded), (_, plain)]:
        for client in (guarded, plain):
            client.send(post(TEN, b"hello"))
        assert timed_out(guarded)["error"]["code"] == "request_timeout"
        assert guarded.statuses == [408]
        assert port.seen == 1
        wait_until(lambda: apps[0].left == 1)
        plain.send(b"hello")
        plain.read(1)
        assert plain.statuses == [200]


def test_a_body_that_drips_in_is_given_up():
    with serving(Echo, BODY_SOON) as port, port.connect() as client:
        client.send(post(b"Content-Length: 100000\r\n", b""))
        client.drip(b"x")
        timed_out(client)


def test_a_body_that_keeps_coming_has_longer():
    size = 600_000
    with serving(Echo, BOTH_SOON) as port, port.connect() as client:
        client.send(post(b"Content-Length: %d\r\n" % size, b""))
        client.send(b"x" * (size - 1))  # worth half a minute
        time.sleep(LATER_S)
        client.send(b"x")
        client.read(1)
        assert client.statuses == [200]


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_late():
    gate = Gate(Echo())
    with serving(lambda: gate, BOTH_SOON) as port, port.connect() as client:
        client.send(post(TEN + b"Expect: 100-continue\r\n", b""))
        time.sleep(LATER_S)
        gate.open.set()
        client.read(1)
        client.send(b"hellohello")
        client.read(2)
        assert client.statuses == [100, 200]
        assert json.loads(client.answers[1].body)["body"] == "hellohello"


def test_nor_has_it_less_time_once_it_was_asked():
    gate = Gate(Echo())
    with serving(lambda: gate) as port, port.connect() as client:
        client.send(post(TEN + b"Expect: 100-continue\r\n", b""))
        wait_until(lambda: port.seen == 1)
        gate.open.set()
        client.read(1)
        (connection,) = port.server.server_state.connections
        over = time.monotonic() + PATIENT.body_s  # as if its time, from its head on, were over
        connection.loop.call_soon_threadsafe(connection.overdue, over)
        client.send(b"hellohello")
        client.read(2)
        assert client.statuses == [100, 200]


@pytest.mark.parametrize(
    ("begun", "rest"), [(BEGUN, REST), (post(TEN, b"hello"), b"hello")], ids=["head", "body"]
)
def test_a_client_that_is_not_read_from_is_not_late(begun, rest):
    gate = Gate(Path())
    with serving(lambda: gate, BOTH_SOON) as port, port.connect() as client:
        client.send(get() + get() + begun)
        wait_until(lambda: port.seen == 1)
        client.send(rest)  # stays in the kernel: two requests are enough
        time.sleep(LATER_S)
        gate.open.set()
        client.read(3)
        assert client.statuses == [200] * 3


def test_a_body_that_nobody_waits_for_any_more_ends_the_connection():
    begun = post(b"Content-Length: 700000\r\n", b"x" * 600_000)  # worth half a minute
    with with_and_without(Path, BODY_SOON) as [(_, guarded), (_, plain)]:
        for client in (guarded, plain):
            client.send(begun)
            client.read(1)
        guarded.read_to_the_end()
        assert guarded.statuses == [200]
        plain.send(b"x" * 100_000 + get())
        plain.read(2)
        assert plain.statuses == [200, 200]


def test_a_connection_is_idle_after_a_body_that_nobody_waited_for():
    with with_and_without(Path, IDLE_SOON) as [
        (_, guarded),
        (_, plain),
    ]:
        for client in (guarded, plain):
            client.send(post(TEN, b""))
            client.read(1)
            client.send(b"hellohello")
        guarded.read_to_the_end()
        assert guarded.statuses == [200]
        plain.send(get())
        plain.read(2)
        assert plain.statuses == [200, 200]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"], ids=["closed", "kept"])
def test_a_last_answer_that_is_left_unread_does_not_hold_its_connection(version):
    with serving(Large, IDLE_SOON) as port, port.connect() as client:
        client.send(get(version=version))
        wait_until(lambda: port.seen == 1)
        wait_until(lambda: port.connections == 0)


def test_a_client_that_stays_after_its_refusal_is_not_waited_for():
    with serving(Echo) as port, port.connect() as client:
        client.send(get(b""))
        client.read_to_the_end()
        assert client.statuses == [400]
        client.send(b"x" * 1_000)
        wait_until(lambda: port.connections == 0)


def test_an_answer_that_has_begun_takes_as_long_as_it_takes():
    app = Half()
    with serving(lambda: app, BOTH_SOON) as port, port.connect() as client:
        client.send(get())
        time.sleep(LATER_S)
        assert (app.left, port.connections) == (0, 1)


def test_a_slow_body_is_no_failure_of_the_admin_port(caplog):
    limits = replace(BODY_SOON, rules=ADMIN_PORT, show=as_problem)
    caplog.set_level(logging.INFO)
    with serving(lambda: create_app(FakeFleet()), limits) as port, port.connect() as client:
        client.send(
            b"POST /admin/plan HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\n" + TEN + b"\r\n{"
        )
        problem = timed_out(client)
        assert (problem["status"], problem["title"]) == (408, "Request Timeout")
        assert problem["type"] == "urn:trtgw:problem:request-timeout"
    said = {(record.levelname, record.name) for record in caplog.records}
    assert ("INFO", "gateway.dataplane.protocol") in said
    assert not any(level in {"WARNING", "ERROR"} for level, _ in said)
