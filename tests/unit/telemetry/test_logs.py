import json
import logging
import os
import sys
import time
from threading import Event

import pytest

from gateway.telemetry.log_format import JsonLines
from gateway.telemetry.logs import _CHATTY, Logs, start_logs
from tests.fakes.facts import streamed


class Sink:
    """Keeps what is written; blocks while `go` is clear."""

    def __init__(self):
        self.go = Event()
        self.go.set()
        self.lines = []
        self.fail = None

    def __call__(self, lines):
        self.go.wait(60)
        if self.fail:
            raise self.fail
        self.lines += map(json.loads, lines.splitlines())


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def open_logs(sink):
    opened = []

    def open_logs(**options):
        logs = Logs(sink, JsonLines({"worker": "0"}), wall=lambda: 1.5, **options)
        opened.append(logs)
        return logs

    yield open_logs
    sink.go.set()
    for logs in opened:
        logs.finish(timeout_s=30)


@pytest.fixture
def logger(request):
    logger = logging.getLogger(request.node.name)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()


@pytest.fixture
def root():
    """The root logger; it and the loggers below it are as before once the test is over."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in (None, *_CHATTY)}
    yield root
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_request_is_one_line_with_the_fields_of_the_process(open_logs, sink):
    logs = open_logs()
    logs.request(streamed(), "0af7")
    logs.finish(timeout_s=30)
    (line,) = sink.lines
    assert line["event"] == "request"
    assert line["ts"] == "1970-01-01T00:00:01.500Z"
    assert (line["request_id"], line["trace_id"], line["worker"]) == ("req-1", "0af7", "0")


def test_requests_are_logged_at_level_info(open_logs, sink):
    logs = open_logs()
    logs.setLevel("WARNING")
    logs.request(streamed())
    logs.finish(timeout_s=30)
    assert sink.lines == []


def test_records_keep_the_message_that_their_arguments_made_when_logged(
    open_logs, sink, logger
):
    logs = open_logs()
    logger.addHandler(logs)
    sink.go.clear()
    changing = ["before"]
    logger.warning("replicas: %s", changing, extra={"model": "llama"})
    changing.append("after")
    sink.go.set()
    logs.finish(timeout_s=30)
    (line,) = sink.lines
    assert line["message"] == "replicas: ['before']"
    assert (line["level"], line["model"], line["worker"]) == ("warning", "llama", "0")


def test_an_exception_is_logged_with_its_traceback_and_without_secrets(open_logs, sink):
    logs = open_logs()
    try:
        int("Authorization: Bearer abcdef0123456789")
    except ValueError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    logs.handle(record)
    assert record.exc_info is not None, "the record is as it was for other handlers"
    logs.finish(timeout_s=30)
    (line,) = sink.lines
    assert "ValueError: invalid literal for int() with base 10: " in line["exception"]
    assert "abcdef" not in line["exception"]


def test_arguments_that_do_not_fit_the_message_are_shown_beside_it(open_logs, sink):
    logs = open_logs()
    logs.handle(logging.makeLogRecord({"msg": "%d replicas", "args": ("two",)}))
    logs.finish(timeout_s=30)
    assert sink.lines[0]["message"] == "%d replicas ('two',)"


def test_a_stuck_sink_blocks_nobody_and_the_log_says_what_was_lost(open_logs, sink):
    sink.go.clear()
    logs = open_logs(capacity=100)
    for _ in range(300):
        logs.request(streamed())
    assert logs.dropped >= 199
    lost = logs.dropped
    sink.go.set()
    logs.finish(timeout_s=30)
    warnings = [line for line in sink.lines if line["level"] == "warning"]
    assert [line["message"] for line in warnings] == [
        f"{lost} log lines were thrown away: they came faster than the sink"
    ]
    assert len(sink.lines) == 300 - lost + 1


def test_finishing_waits_for_a_stuck_sink_only_as_long_as_it_is_told(open_logs, sink):
    sink.go.clear()
    logs = open_logs()
    logs.request(streamed())
    started_at = time.monotonic()
    logs.finish(timeout_s=0.05)
    assert time.monotonic() - started_at < 30
    assert sink.lines == []


def test_a_sink_that_fails_costs_its_lines_and_not_the_log(open_logs, sink):
    logs = open_logs()
    sink.fail = BrokenPipeError()
    logs.request(streamed())
    while logs.dropped == 0:
        time.sleep(0.001)
    sink.fail = None
    logs.request(streamed())
    logs.finish(timeout_s=30)
    assert "request" in [line["event"] for line in sink.lines]
    assert logs.dropped >= 1


def test_a_line_that_cannot_be_made_is_lost_and_the_log_goes_on(open_logs, sink):
    logs = open_logs()
    logs.request(streamed(request_id="\udcff"))
    logs.request(streamed(attempts=None))
    logs.request(streamed())
    logs.finish(timeout_s=30)
    assert [line["event"] for line in sink.lines] == ["request", "log"]
    assert logs.dropped == 2


def test_a_process_logs_json_to_a_pipe(root):
    reader, writer = os.pipe()
    logs = start_logs(level="info", wall=lambda: 1.5, fields={"worker": "1"}, descriptor=writer)
    logging.getLogger("some.library").info("hello")
    logging.getLogger("some.library").debug("too quiet to be heard")
    logging.getLogger("httpx").info("HTTP Request: GET /health")
    logs.finish(timeout_s=30)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        (line,) = map(json.loads, pipe)
    assert (line["logger"], line["message"], line["worker"]) == ("some.library", "hello", "1")
    assert root.handlers == [logs]


def test_a_process_logs_readable_lines_to_a_terminal(root, monkeypatch):
    reader, side = os.pipe()
    # Not every machine that builds has pseudo terminals to give.
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == side)
    logs = start_logs(level="info", wall=lambda: 1.5, fields={}, descriptor=side)
    root.info("hello there")
    logs.finish(timeout_s=30)
    os.close(side)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read().endswith(b"info    hello there\n")
