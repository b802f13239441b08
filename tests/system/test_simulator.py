"""The simulator as a process: how it starts, drains, is forced, crashes and exits."""

import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from tests.system.running import eventually
from tests.wire.serving import read_to_end, read_until

DEADLINE_S = 60
RUNNING = re.compile(r"INFO:     Uvicorn running on http://localhost:(\d+) \(Press CTRL\+C")
STREAM = {
    "model": "m", "prompt": "hello", "max_tokens": 30, "ignore_eos": True, "stream": True,
}  # fmt: skip


class Process:
    """One simulator, its log in a file."""

    def __init__(self, folder, *args):
        self._log = folder / "simulator.log"
        argv = [sys.executable, "-m", "backends.simulator", "--model", "m", "--port", "0"]
        with self._log.open("w") as log:
            self.popen = subprocess.Popen([*argv, *args], stderr=log, stdout=log)

    @property
    def log(self):
        return self._log.read_text()

    @property
    def port(self):
        found = eventually(
            lambda: RUNNING.search(self.log) or self.popen.poll() is not None,
            "it says its port",
        )
        assert found is not True, self.log
        return int(found[1])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def arm(self, **fault):
        assert httpx.post(self.url + "/_sim/faults", json=[fault]).status_code == 200

    def stream(self, **fields):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)
        body = httpx.Request("POST", self.url, json=STREAM | fields).content
        head = (
            "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        return client

    def wait(self):
        return self.popen.wait(timeout=DEADLINE_S)


@contextmanager
def simulator(folder, *args):
    process = Process(folder, *args)
    try:
        yield process
    finally:
        process.popen.kill()
        process.popen.wait()


@pytest.fixture
def start(tmp_path):
    return lambda *args: simulator(tmp_path, *args)


def test_it_says_what_uvicorn_says_and_which_port_it_took(start):
    with start() as process:
        assert httpx.get(process.url + "/health").headers["server"] == "uvicorn"
        log = process.log
    for line in (
        "INFO:     Started server process [",
        "INFO:     Waiting for application startup.",
        "INFO:     Application startup complete.",
    ):
        assert line in log


def test_while_it_loads_clients_are_refused_and_the_log_shows_progress(start):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for dialect in ("1.0", "1.2"):
        with start(
            "--start-s", "1", "--fault", "load_delay:s=0.5", "--dialect", dialect,
            "--port", str(port),
        ) as process:  # fmt: skip
            eventually(lambda p=process: "Loading weights:" in p.log, "it loads")
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", port)) != 0
            assert process.port == port
            assert re.search(
                r"\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] \[TRT-LLM\] \[I\] ", process.log
            )


def test_a_taken_port_ends_newer_releases_at_once_and_older_ones_after_loading(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for dialect, loads in (("1.2", False), ("1.0", True)):
            with start("--port", port, "--start-s", "0.2", "--dialect", dialect) as process:
                assert process.wait() == 1
                assert "Failed to bind socket to localhost:" in process.log
                assert ("Loading weights" in process.log) is loads


def test_no_gpu_is_an_instant_exit(start):
    with start("--fault", "no_gpu") as process:
        assert process.wait() == 1
        assert "No GPU devices found on the node" in process.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_open_answers_and_refuses_new_ones(start, number):
    with start("--time-scale", "3") as process:
        url, port = process.url, process.port
        client = process.stream()
        seen = read_until(client, b"data:")
        process.popen.send_signal(number)
        eventually(lambda: "Waiting for connections to close" in process.log, "it drains")
        with pytest.raises(httpx.ConnectError):
            httpx.get(url + "/health")
        assert (seen + read_to_end(client)).count(b'"text":') == 30
        process.wait()
        assert "Finished server process" in process.log
        with socket.socket() as late:
            assert late.connect_ex(("127.0.0.1", port)) != 0


def test_a_second_interrupt_does_not_wait(start):
    with start() as process:
        client = process.stream(max_tokens=100_000)
        read_until(client, b"data:")
        process.popen.send_signal(signal.SIGINT)
        eventually(lambda: "Waiting for connections to close" in process.log, "it drains")
        process.popen.send_signal(signal.SIGINT)
        process.wait()
        client.close()


def test_an_idle_connection_is_closed_after_five_seconds(start):
    with start() as process:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=DEADLINE_S)
        connection.request("GET", "/health")
        connection.getresponse().read()
        began = time.monotonic()
        assert connection.sock.recv(1) == b""
        assert time.monotonic() - began >= 4.5
        connection.close()


def test_a_crash_ends_the_process_by_sigabrt_in_mid_stream(start):
    with start() as process:
        process.arm(kind="crash", after_tokens=3)
        client = process.stream()
        assert read_to_end(client).count(b'"text":') == 3
        assert process.wait() == -signal.SIGABRT


def test_a_null_is_answered_and_then_the_server_leaves(start):
    with start() as process:
        process.arm(kind="null")
        reply = httpx.post(process.url + "/v1/completions", json=STREAM)
        assert (reply.status_code, reply.content) == (200, b"null")
        process.wait()
        assert "Finished server process" in process.log


def test_main_exits_after_one_failed_health_check_and_its_streams_break(start):
    with start("--dialect", "main") as process:
        other = process.stream(max_tokens=100_000)
        read_until(other, b"data:")
        process.arm(kind="fatal_exit", after_tokens=2)
        with process.stream() as client:
            read_until(client, b"0\r\n\r\n")
        assert read_to_end(other).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert httpx.get(process.url + "/health").status_code == 503
        process.wait()
        assert "Finished server process" in process.log


def test_older_releases_stay_healthy_with_a_dead_engine(start):
    with start("--dialect", "1.2") as process:
        process.arm(kind="fatal_exit")
        assert not read_to_end(process.stream()).endswith(b"0\r\n\r\n")
        assert httpx.get(process.url + "/health").status_code == 200
        assert process.popen.poll() is None


def test_a_clean_shutdown_can_end_in_sigabrt(start):
    with start("--fault", "abort_on_exit") as process:
        assert process.port
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGABRT


def test_the_second_request_for_no_tokens_kills_1_1_alone(start):
    body = STREAM | {"max_tokens": 0}
    with start("--dialect", "1.1") as process:
        url = process.url + "/v1/completions"
        assert httpx.post(url, json=body).status_code == 400
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(url, json=body)
        assert process.wait() == -signal.SIGABRT
    with start("--dialect", "1.2") as process:
        codes = [
            httpx.post(process.url + "/v1/completions", json=body).status_code for _ in range(3)
        ]
        assert codes == [400, 400, 400]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--fault", "nonsense"], "unknown fault 'nonsense'; known: "),
        (["--dialect", "9"], "'9' is not one of"),
        (["--profile", "x"], "'x' is not one of"),
        (["--served-model-name", "x"], "exists in dialect main only"),
        (["--tool-parser", "x", "--dialect", "1.1"], "exists from dialect 1.2 on"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_exists(start, args, words):
    with start(*args) as process:
        assert process.wait() == 2
        assert words in process.log
