"""The load generator calls an answer whole only if it is, and tells how late tokens came."""

import json
import os
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.bench.scenarios import SCENARIOS, Scenario, load_command
from tests.bench.subjects import running_mock

SHORT = Scenario("one short stream each", clients=3, seconds=0, tokens=4)
TOKEN = b'data: {"choices":[{"delta":{"content":" @000000000000000001"}}]}\n\n'
FIRST = TOKEN.replace(b'1"', b'1#000000000000000001"')
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = FIRST + 3 * TOKEN + USAGE + DONE


def ran(programs, port, scenario, path="chat"):
    command = load_command(programs.load, path, port, scenario)
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


@contextmanager
def answering(body, status=200):
    """Run a server that gives every request this body, in chunks that cut events in two."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 50):
                part = body[at : at + 50]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_whole_streams_are_ok_however_they_are_cut(programs):
    with answering(WHOLE) as port:
        seen = ran(programs, port, SHORT)
    assert (seen["issued"], seen["ok"], seen["errors"]) == (3, 3, 0)
    assert seen["chunks"] == 3 * 4


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        pytest.param(FIRST + 2 * TOKEN + USAGE + DONE, 200, "tokens", id="a token is missing"),
        pytest.param(FIRST + 3 * TOKEN + USAGE, 200, "done", id="no [DONE]"),
        pytest.param(FIRST + 3 * TOKEN + DONE, 200, "usage", id="no usage"),
        pytest.param(WHOLE.replace(b":4}", b":5}"), 200, "usage", id="wrong usage"),
        pytest.param(WHOLE, 503, "status", id="not 200"),
    ],
)
def test_anything_else_is_an_error(body, status, why, programs):
    with answering(body, status) as port:
        seen = ran(programs, port, SHORT)
    assert (seen["ok"], seen["errors"], seen["failed"][why]) == (0, 3, 3)
    assert seen["first_error"].startswith(f"status {status}, ")


def test_usage_that_nobody_asked_for_is_an_error(programs):
    unasked = Scenario("no usage", clients=1, seconds=0, tokens=4, asks_usage=False)
    with answering(WHOLE) as port:
        assert ran(programs, port, unasked)["failed"]["usage"] == 1
    with answering(WHOLE.replace(USAGE, b"")) as port:
        assert ran(programs, port, unasked)["ok"] == 1


def test_nobody_there_is_an_error_that_ends(programs):
    with answering(WHOLE) as port:
        pass
    seen = ran(programs, port, SHORT)
    assert seen["ok"] == 0
    assert seen["failed"]["connect"] == 3


@pytest.mark.parametrize("path", ["chat", "completions"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_is_what_the_mock_understands(name, path, programs, tmp_path):
    """Each client asks at least once, however short the time."""
    once = replace(SCENARIOS[name], seconds=0, ramp_ms=0, tokens=3)
    with running_mock(programs, tmp_path, os.sched_getaffinity(0)) as mock:
        seen = ran(programs, mock.port, once, path)
        counted = mock.stats()
    assert seen["errors"] == 0, seen["first_error"]
    assert seen["ok"] == seen["issued"] == once.clients == counted["requests"]
    assert seen["chunks"] == once.clients * (once.tokens if once.streamed else 1)
    assert seen["added_ttft_us"]["count"] == once.clients
    assert (seen["added_chunk_us"] is not None) == once.streamed


def test_only_tokens_between_the_two_instants_are_steady(programs, tmp_path):
    with running_mock(programs, tmp_path, os.sched_getaffinity(0)) as mock:
        command = load_command(programs.load, "chat", mock.port, SHORT)
        spans = {"before": ("0", "0"), "all": ("0", "60000"), "after": ("60000", "90000")}
        seen = {
            name: json.loads(
                subprocess.run(
                    [*command, "-from-ms", begin, "-to-ms", end],
                    capture_output=True, check=True, timeout=60,
                ).stdout
            )["steady_chunks"]
            for name, (begin, end) in spans.items()
        }  # fmt: skip
    assert seen == {"before": 0, "all": 3 * 4, "after": 0}
