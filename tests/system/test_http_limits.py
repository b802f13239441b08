"""The limits of the configuration hold on both ports of a real gateway."""

from contextlib import ExitStack
from urllib.parse import urlsplit

from tests.gateway.http_probes import get, post
from tests.gateway.raw_http import Client
from tests.system.running import gateway_config

LIMITS = {"header_s": 3, "body_s": 2.5}
HALF = b"Content-Length: 9\r\nContent-Type: application/json\r\n"


def test_a_slow_client_is_given_up_as_configured(start_gateway, tmp_path):
    gateway = start_gateway(config=gateway_config(tmp_path, server=LIMITS), ready={})
    ports = [(gateway.url, b"/v1/completions"), (gateway.admin_url, b"/admin/plan")]
    with ExitStack() as stack:
        clients = []
        for url, path in ports:
            address = (urlsplit(url).hostname, urlsplit(url).port)
            for sent in (get(target=path)[:-1], post(HALF, b"{", target=path)):
                client = stack.enter_context(Client(address))
                client.send(sent)
                clients.append(client)
        told = []
        for client in clients:
            (answer,) = client.read_to_the_end()
            told.append((answer.status, answer.headers["content-type"], answer.body.decode()))
    assert [status for status, _, _ in told] == [408] * 4
    kinds = [kind for _, kind, _ in told]
    assert kinds == ["application/json"] * 2 + ["application/problem+json"] * 2
    for (_, _, body), part in zip(told, ["head", "body"] * 2, strict=True):
        limit = "3 s" if part == "head" else "2.5 s"
        assert f"the request's {part} did not come within {limit}" in body


def test_both_ports_refuse_what_can_be_read_in_two_ways(start_gateway, tmp_path):
    gateway = start_gateway(config=gateway_config(tmp_path), ready={})
    for url in (gateway.url, gateway.admin_url):
        with Client((urlsplit(url).hostname, urlsplit(url).port)) as client:
            client.send(get(target=b"/v1/%2e%2e/admin"))
            client.read_to_the_end()
            assert client.statuses == [400]
