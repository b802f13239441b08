from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.hosts import (
    LOOPBACK_NAMES,
    allowed_hosts,
    host_problem,
    is_loopback,
    replica_url,
)

LOCAL = allowed_hosts("127.0.0.1")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_loopback_addresses_are_known(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["192.168.0.1", "::", "10.0.0.5", "gateway", "", "localhost.evil"]
)
def test_other_addresses_are_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost."]
)
def test_loopback_names_are_let_in_with_any_port(host):
    assert host_problem(host, None, LOCAL) is None
    assert host_problem(host, f"http://{host}", LOCAL) is None


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil", "localhost:x",
     "evil@localhost", "localhost/..", "[::1", "10.0.0.1:8080", "local\thost", "localhost?x",
     " localhost", "localhost#", "1\r\n27.0.0.1", "localhost:80:80"],
)  # fmt: skip
def test_other_host_names_are_refused(host):
    problem = host_problem(host, None, LOCAL)
    assert problem.startswith("Host ")
    assert "127.0.0.1, ::1, localhost" in problem


@pytest.mark.parametrize(
    "origin",
    ["null", "", "https://evil.example", "http://localhost.evil", "file://localhost",
     "http://user@localhost", "http://[::1", "http://local\thost", "http://localhost/",
     "http://localhost?x", "localhost", "\x0bhttp://localhost"],
)  # fmt: skip
def test_foreign_origins_are_refused(origin):
    assert host_problem("localhost", origin, LOCAL).startswith("Origin ")


def test_with_keys_any_host_is_let_in():
    assert host_problem(None, "https://evil.example", None) is None


def test_a_loopback_address_of_its_own_is_allowed_too():
    assert allowed_hosts("127.0.0.7") == (*LOOPBACK_NAMES, "127.0.0.7")
    assert allowed_hosts("[::1]") == LOOPBACK_NAMES


@given(host=st.none() | st.text(), origin=st.none() | st.text())
def test_no_header_breaks_the_check(host, origin):
    problem = host_problem(host, origin, LOCAL)
    assert problem is None or problem


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("http://Replica:8000/", "http://replica:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_replica_url_has_one_form(given_, kept):
    assert replica_url(given_) == kept
    assert replica_url(kept) == kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.5:8000", "http://host:port"),
        ("https://10.0.0.5:8000", "plain HTTP"),
        ("http://:8000", "http://host:port"),
        ("http://10.0.0.5", "name a port"),
        ("http://10.0.0.5:0", "http://host:port"),
        ("http://10.0.0.5:99999", "not a URL"),
        ("http://10.0.0.5:8000/v1", "leave out '/v1'"),
        ("http://10.0.0.5:8000?x=1", "leave out '?x=1'"),
        ("http://user:pw@10.0.0.5:8000", "user name"),
        ("http://[::1:8000", "not a URL"),
        ("http://10.0.0.5:8000\n", "http://host:port"),
        ("", "http://host:port"),
    ],
)
def test_another_form_is_refused_with_the_part_that_is_wrong(text, said):
    with pytest.raises(ValueError, match=r"must|is not") as caught:
        replica_url(text)
    assert said in str(caught.value)


@given(text=st.text())
def test_no_text_breaks_the_url_check(text):
    with suppress(ValueError):
        assert replica_url(text).startswith("http://")
