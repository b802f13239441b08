import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.log_format import LogEvent, from_record, render_json, render_pretty

AT = 1_700_000_000.25


def event(level="info", name="log", trace=None, **fields):
    return LogEvent(AT, level, name, fields, trace)


def test_json_has_time_level_event_and_fields():
    line = render_json(event(name="request", model="llama", stream=True, finish=("stop",)))
    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.250Z", "level": "info", "event": "request",
        "model": "llama", "stream": True, "finish": ["stop"],
    }  # fmt: skip


def test_json_carries_a_traceback_as_text():
    line = json.loads(render_json(event(level="error", trace="Traceback:\n  Bearer abc123")))
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
    for render in (render_json, render_pretty):
        line = render(
            event(message="m", **{f"f_{name}": value for name, value in fields.items()})
        )
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert b"\x1b" not in line


def test_text_that_is_no_unicode_is_escaped():
    assert json.loads(render_json(event(message="\udcff")))["message"] == "\udcff"
    assert render_pretty(event(message="\udcff")).isascii()


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[2Ja", "a\r"])
def test_a_readable_line_cannot_be_forged(hostile):
    line = render_pretty(event(message=hostile, user=hostile))
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert b"\r" not in line


def test_a_readable_line_has_time_level_message_and_fields():
    line = render_pretty(event(message="worker started", logger="gateway", slot=1)).decode()
    assert line.endswith(".250 info    worker started slot=1\n")
    line = render_pretty(event(name="request", model="llama", ok=True)).decode()
    assert line.endswith("info    request model=llama ok=true\n")


def test_a_warning_is_coloured_and_a_traceback_follows_readable():
    line = render_pretty(event(level="error", message="m", trace="Traceback\n\x1b[0m E"))
    assert b"\x1b[31merror  \x1b[0m m\nTraceback\n\\x1b[0m E\n" in line
