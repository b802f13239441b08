"""Loading, binding and the log's format; the life of the process is in tests/system."""

import logging
import socket

import pytest

from backends.simulator.serving import LogFormat, bind, load


def record(name, level, message, *args):
    return logging.LogRecord(name, level, __file__, 1, message, args, None)


def test_lines_are_spelt_as_uvicorn_and_the_server_spell_them():
    form = LogFormat(lambda: 1754294810.0)
    uvicorns = form.format(
        record("uvicorn.error", logging.INFO, "Started server process [%d]", 7)
    )
    assert uvicorns == "INFO:     Started server process [7]"
    own = form.format(record("backends.simulator", logging.WARNING, "careful"))
    assert own == "[08/04/2025-08:06:50] [TRT-LLM] [W] careful"


def test_loading_takes_its_time_and_says_how_far_it_is(capsys):
    slept = []
    load(10.0, slept.append)
    assert sum(slept) == pytest.approx(10.0)
    assert "Loading weights: 100%| 1408/1408" in capsys.readouterr().err


def test_a_bound_port_refuses_until_somebody_listens():
    with bind("localhost", 0) as listener:
        port = listener.getsockname()[1]
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"Failed to bind socket to 127.0.0.1:{port}: "):
            bind("127.0.0.1", port)
