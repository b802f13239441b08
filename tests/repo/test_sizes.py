"""A file or a function past these sizes holds a second idea: split it by idea."""

from tests.repo import tracked

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40


def test_files_stay_under_300_lines():
    lengths = {
        tracked.named(path): len(path.read_text().splitlines()) for path in tracked.sources()
    }
    assert {n: lines for n, lines in lengths.items() if lines >= MAX_FILE_LINES} == {}


def test_functions_stay_under_40_lines():
    lengths = dict(
        function for path in tracked.sources() for function in tracked.functions(path)
    )
    assert {n: lines for n, lines in lengths.items() if lines >= MAX_FUNCTION_LINES} == {}


def test_names_say_what_a_thing_is_not_that_it_is_a_thing():
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [tracked.named(p) for p in tracked.files() if p.stem in vague] == []
