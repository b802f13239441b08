import socket
from contextlib import closing
from pathlib import Path

import pytest

from backends.launcher import CapacityError
from backends.ports import Ports

FREE = range(22710, 22720)


def test_a_port_is_given_out_once_until_it_is_free_again():
    with closing(Ports(FREE)) as ports:
        taken = [ports.take() for _ in FREE]
        assert sorted(taken) == list(FREE)
        with pytest.raises(CapacityError, match="no free port for a replica between 22710 and"):
            ports.take()
        ports.free(22713)
        ports.free(22713)
        assert ports.take() == 22713


def test_two_launchers_of_one_host_never_get_the_same_port():
    with closing(Ports(FREE)) as one, closing(Ports(FREE)) as other:
        assert one.take() != other.take()
        assert not other.reserve(22710)
        assert not one.reserve(22710)


def test_a_port_on_which_somebody_listens_is_passed_over():
    with closing(socket.socket()) as server, closing(Ports(FREE)) as ports:
        server.bind(("127.0.0.1", 22710))
        server.listen()
        assert ports.take() == 22711


def test_a_port_just_freed_rests():
    with closing(Ports(FREE)) as ports:
        first = ports.take()
        ports.free(first)
        assert ports.take() != first


def test_ports_of_outgoing_connections_are_the_last_choice(tmp_path, monkeypatch):
    ephemeral = tmp_path / "range"
    ephemeral.write_text("22710\t22714\n")
    monkeypatch.setattr("backends.ports._EPHEMERAL", ephemeral)
    with closing(Ports(FREE)) as ports:
        assert ports.take() == 22715
    monkeypatch.setattr("backends.ports._EPHEMERAL", Path("/none"))
    with closing(Ports(FREE)) as ports:
        assert ports.take() == 22710


def test_ipv6_hosts_have_ports_too():
    with closing(Ports(FREE, "::1")) as ports:
        assert ports.take() in FREE
