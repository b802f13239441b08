import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.logfile import LogReader, older, rotate, tail


def test_the_tail_is_the_last_lines_split_at_carriage_returns_too(tmp_path):
    log = tmp_path / "output.log"
    log.write_bytes(b"one\nload: 10%\rload: 20%\r\ntwo\nhalf")
    lines, reader = tail(log, 3)
    assert lines == ["load: 10%", "load: 20%", "two"]
    assert reader.new_lines() == []
    with log.open("ab") as file:
        file.write(b" a line\nlast")
    assert reader.new_lines() == ["half a line"]
    assert reader.rest() == ["last"]
    assert reader.rest() == []


def test_a_log_that_is_not_there_has_no_lines(tmp_path):
    lines, reader = tail(tmp_path / "none.log", 10)
    assert (lines, reader.new_lines()) == ([], [])
    assert tail(tmp_path / "none.log", 0)[0] == []


def test_a_long_log_is_read_from_near_its_end(tmp_path):
    log = tmp_path / "output.log"
    log.write_text("".join(f"line {n}\n" for n in range(200_000)))
    lines, _ = tail(log, 3)
    assert lines == ["line 199997", "line 199998", "line 199999"]
    assert len(tail(log, 10**9)[0]) < 200_000


def test_rotation_keeps_the_writers_descriptor_and_the_readers_place(tmp_path):
    log = tmp_path / "output.log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(writer, b"before\n")
        lines, reader = tail(log, 10)
        assert lines == ["before"]
        assert not rotate(log, limit_bytes=100)
        os.write(writer, b"x" * 200 + b"\n")
        assert len(reader.new_lines()) == 1
        assert rotate(log, limit_bytes=100)
        os.write(writer, b"after\n")
        assert reader.new_lines() == ["after"]
        assert older(log).read_bytes().startswith(b"before\nxxx")
        assert tail(log, 10)[0] == ["before", "x" * 200, "after"]
        assert tail(log, 1)[0] == ["after"]
    finally:
        os.close(writer)


def test_a_log_that_is_not_there_needs_no_rotation(tmp_path):
    assert not rotate(tmp_path / "none.log")


def test_a_line_without_an_end_is_cut(tmp_path):
    log = tmp_path / "output.log"
    log.write_bytes(b"x" * 100_000)
    reader = LogReader(log)
    [line] = reader.new_lines()
    assert len(line) == 64 * 1024


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.binary(max_size=30), max_size=8))
def test_reading_piece_by_piece_gives_the_same_lines_as_reading_at_once(tmp_path, parts):
    log = tmp_path / "output.log"
    log.write_bytes(b"")
    reader, lines = LogReader(log), []
    for part in parts:
        with log.open("ab") as file:
            file.write(part)
        lines += reader.new_lines()
    whole = LogReader(log)
    assert lines + reader.rest() == whole.new_lines() + whole.rest()
