import json
import logging

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.log_format import JsonLines, LogEvent, ReadableLines, from_record
from gateway.telemetry.request_line import request_line
from tests.fakes.facts import refused, streamed

AT = 1_700_000_000.25
SHOWN_AT = "2023-11-14T22:13:20.250Z"


def event(level="info", name="log", trace=None, **fields):
    return LogEvent(AT, level, name, fields, trace)


def as_json(event, **process):
    return JsonLines(process).event(event)


def as_text(event, **process):
    return ReadableLines(process).event(event)


def test_json_has_time_level_event_and_fields():
    line = as_json(event(name="request", model="llama", stream=True, finish=("stop",)))
    assert json.loads(line) == {
        "ts": SHOWN_AT, "level": "info", "event": "request",
        "model": "llama", "stream": True, "finish": ["stop"],
    }  # fmt: skip


def test_json_ends_in_the_fields_of_the_process():
    line = as_json(event(name="request", model="llama"), worker="0", host="a")
    assert line.endswith(b'"model":"llama","worker":"0","host":"a"}\n')


@pytest.mark.parametrize("process", [{}, {"worker": "0"}, {"worker": "0", "host": "a"}])
def test_a_request_is_a_line_of_the_same_shape_as_other_events(process):
    fields = request_line(streamed(), "0af7")
    line = JsonLines(process).request(AT, fields)
    assert line.endswith(b"}\n")
    assert list(json.loads(line).items()) == list({
        "ts": SHOWN_AT, "level": "info", "event": "request",
        **json.loads(msgspec.json.encode(fields)), **process,
    }.items())  # fmt: skip


def test_a_request_s_readable_line_has_the_fields_of_the_process_last():
    line = ReadableLines({"worker": "0"}).request(AT, request_line(refused(), None)).decode()
    assert " info    request request_id=req-2 operation=chat " in line
    assert line.endswith(" e2e_ms=1.0 worker=0\n")


def test_json_carries_a_traceback_as_text():
    line = json.loads(as_json(event(level="error", trace="Traceback:\n  Bearer abc123")))
    assert line["exception"] == "Traceback:\n  Bearer [redacted]"


def test_a_record_s_extra_fields_become_fields():
    record = logging.makeLogRecord(
        {"name": "x.y", "msg": "started %s", "args": ("w1",), "slot": 1}
    )
    made = from_record(record)
    assert made.fields == {"logger": "x.y", "message": "started w1", "slot": 1}


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.none()))
def test_whatever_the_fields_a_line_is_one_line(fields):
    for written in (as_json, as_text):
        line = written(
            event(message="m", **{f"f_{name}": value for name, value in fields.items()})
        )
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert b"\x1b" not in line


def test_text_that_is_no_unicode_is_escaped():
    assert json.loads(as_json(event(message="\udcff")))["message"] == "\udcff"
    assert as_text(event(message="\udcff")).isascii()


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[2Ja", "a\r"])
def test_a_readable_line_cannot_be_forged(hostile):
    line = as_text(event(message=hostile, user=hostile))
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert b"\r" not in line


def test_a_readable_line_has_time_level_message_and_fields():
    line = as_text(event(message="worker started", logger="gateway", slot=1)).decode()
    assert line.endswith(".250 info    worker started slot=1\n")
    line = as_text(event(name="request", model="llama", ok=True)).decode()
    assert line.endswith("info    request model=llama ok=true\n")


def test_a_warning_is_coloured_and_a_traceback_follows_readable():
    line = as_text(event(level="error", message="m", trace="Traceback\n\x1b[0m E"))
    assert b"\x1b[31merror  \x1b[0m m\nTraceback\n\\x1b[0m E\n" in line
