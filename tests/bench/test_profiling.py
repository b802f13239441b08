"""The recorder is told whom to record and where, stopped in time, and its failures are told."""

import os
import sys

import pytest

from tests.bench.building import CannotMeasure
from tests.bench.profiling import recording
from tests.system.running import eventually

RECORDER = f"""#!{sys.executable}
import pathlib, signal, sys
words = sys.argv[1:]
file = pathlib.Path(words[words.index("--output") + 1])

def end(*_):
    file.write_text("recorded " + words[words.index("--pid") + 1])
    sys.exit(0)

signal.signal(signal.SIGINT, end)
file.with_suffix(".ready").touch()
signal.pause()
"""


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """Return a function that puts a program on the path as py-spy."""

    def put(text):
        program = tmp_path / "py-spy"
        program.write_text(text)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def test_it_records_until_the_block_ends(recorder, tmp_path):
    recorder(RECORDER)
    file = tmp_path / "worker.svg"
    with recording(4711, file, os.sched_getaffinity(0)):
        eventually(file.with_suffix(".ready").exists, "the recorder records")
        assert not file.exists()
    assert file.read_text() == "recorded 4711"


def test_a_recorder_that_fails_is_told(recorder, tmp_path):
    recorder('#!/bin/sh\necho no permission; touch "$0.said"; exit 1\n')
    with (
        pytest.raises(CannotMeasure, match="no permission"),
        recording(4711, tmp_path / "worker.svg", os.sched_getaffinity(0)),
    ):
        eventually((tmp_path / "py-spy.said").exists, "the recorder has spoken")


def test_a_missing_recorder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with (
        pytest.raises(CannotMeasure, match="pip install py-spy"),
        recording(4711, tmp_path / "worker.svg", os.sched_getaffinity(0)),
    ):
        pass
