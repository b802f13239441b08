"""What two servers could read in two ways is refused on both ports; uvicorn alone takes it."""

import asyncio
import json

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.api.problems import as_problem
from gateway.core.error_shapes import error_type
from gateway.core.http_rules import ADMIN_PORT
from gateway.dataplane.protocol import GuardedProtocol
from gateway.dataplane.watch import PortLimits
from tests.fakes.fleet import FakeFleet
from tests.gateway.admin_client import create_app
from tests.gateway.data_gateway import DataGateway
from tests.gateway.http_probes import HOST, PROBES, Probe, get
from tests.gateway.raw_http import serving

LIVE = {"data": b"/live", "admin": b"/healthz"}
ADMIN = PortLimits(header_s=60, body_s=60, rules=ADMIN_PORT, show=as_problem)
EACH = pytest.mark.parametrize("probe", PROBES, ids=[each.name for each in PROBES])


def data_app():
    return DataGateway([]).app


@pytest.fixture(scope="module")
def data_port():
    with serving(data_app) as port:
        yield port


@pytest.fixture(scope="module")
def admin_port():
    def make_app():
        return create_app(FakeFleet())

    with serving(make_app, ADMIN, loop=asyncio.new_event_loop) as port:
        yield port


@pytest.fixture(scope="module")
def plain_port():
    with serving(data_app, plain=True) as port:
        yield port


def reached(port, path, sent, *, until):
    """Send; return the client, and how many requests reached the application."""
    before = port.seen
    with port.connect() as client:
        client.send(sent)
        until(client)
    with port.connect() as after:  # the server is past what the first one began
        after.send(get().replace(b"PATH", path))
        assert [each.status for each in after.read(1)] == [200]
    return client, port.seen - before - 1


def to_the_end(client):
    client.read_to_the_end()


def refused(port, path, probe):
    client, seen = reached(port, path, probe.at(path), until=to_the_end)
    assert (client.statuses, seen) == ([probe.status], probe.seen)
    assert client.closed
    (answer,) = client.answers
    assert answer.whole
    assert answer.headers["connection"] == "close"
    return answer


@EACH
def test_the_data_port_refuses_it_in_openais_shape(data_port, probe):
    answer = refused(data_port, LIVE["data"], probe)
    assert answer.headers["content-type"] == "application/json"
    error = json.loads(answer.body)["error"]
    assert (
        error["code"] == {400: "invalid_request", 431: "request_head_too_large"}[probe.status]
    )
    assert (error["type"], error["param"]) == (error_type(probe.status), None)
    assert error["message"]


@EACH
def test_the_admin_port_refuses_it_as_a_problem(admin_port, probe):
    answer = refused(admin_port, LIVE["admin"], probe)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == probe.status
    assert problem["type"].startswith("urn:trtgw:problem:")
    assert problem["detail"]


@EACH
def test_uvicorn_alone_lets_this_much_of_it_through(plain_port, probe):
    sent = probe.at(LIVE["data"])
    _, seen = reached(plain_port, LIVE["data"], sent, until=lambda client: client.read(1))
    assert seen == probe.plain


def test_the_table_has_what_uvicorn_lacks_and_what_it_has():
    ours = [probe for probe in PROBES if probe.plain > probe.seen]
    assert 20 < len(ours) < len(PROBES)
    assert issubclass(GuardedProtocol, HttpToolsProtocol)


@pytest.mark.parametrize(
    "begun",
    [get(HOST + b"X: " + b"x" * 100_000)[:-4], get(HOST + b"a: b\r\n" * 150)[:-2]],
    ids=["bytes", "headers"],
)
def test_a_head_that_is_too_large_is_refused_before_its_end(data_port, plain_port, begun):
    with data_port.connect() as guarded, plain_port.connect() as plain:
        for client in (guarded, plain):
            client.send(begun.replace(b"PATH", b"/live"))
        guarded.read_to_the_end()
        assert guarded.statuses == [431]
        plain.send(b"\r\n\r\n")  # it waits for the end
        plain.read(1)
        assert plain.statuses == [200]


def test_a_path_that_names_a_model_may_hold_a_slash_only_on_the_data_port(
    data_port, admin_port
):
    for port, statuses in ((data_port, [404]), (admin_port, [400])):
        with port.connect() as client:
            client.send(get(target=b"/v1/models/org%2Fname"))
            client.read(1)
            assert client.statuses == statuses


@pytest.mark.parametrize("which", ["data", "admin"])
def test_what_is_sound_is_served_and_the_connection_stays_open(which, request):
    port, path = request.getfixturevalue(f"{which}_port"), LIVE[which]
    sound = [
        get(),
        get(b"host:localhost:80\r\nX:\r\nY: \xe9\r\n"),
        get(target=b"PATH?a=//%2f..%zz"),
        b"\r\n\r\n" + get(),
        get(b"Host: [::1]:80\r\nContent-Length: 0\r\n"),
        get(b"HOST: localhost\r\n" + b"x: y\r\n" * 99),
        get(b"Host: localhost\r\nX: " + b"x" * 60_000 + b"\r\n"),
    ]
    with port.connect() as client:
        for n, sent in enumerate(sound, 1):
            client.send(sent.replace(b"PATH", path))
            client.read(n)
        assert client.statuses == [200] * len(sound)
        assert not client.closed


@pytest.mark.parametrize("which", ["data", "admin"])
@pytest.mark.parametrize("headers", [b"", b"Host: localhost\r\n"])
def test_http_1_0_works(which, headers, request):
    port, path = request.getfixturevalue(f"{which}_port"), LIVE[which]
    with port.connect() as client:
        client.send(get(headers, version=b"HTTP/1.0").replace(b"PATH", path))
        client.read_to_the_end()
        assert client.statuses == [200]
        assert client.answers[0].headers["connection"] == "close"


def test_a_refusal_of_head_has_no_body(data_port):
    probe = Probe("two Hosts", get(b"Host: a\r\nHost: b\r\n", method=b"HEAD"))
    with data_port.connect() as client:
        client.send(probe.at(b"/live"))
        raw = client.read_raw()
    assert raw.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert raw.endswith(b"\r\n\r\n")
