import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.problems import ConfigInvalid, Place, Problem, dotted, keys_at, unknown_key
from gateway.config.schema import Config


def test_a_problem_reads_as_place_path_and_message():
    problem = Problem(Place("gateway.yaml", 7), "server.port", "is wrong")
    assert str(problem) == "gateway.yaml:7: server.port: is wrong"
    assert problem.line == 7
    assert str(Problem(Place("--port"), "", "is wrong")) == "--port: is wrong"


def test_problems_are_sorted_by_line():
    late, early = (Problem(Place("f", n), "a", "x") for n in (10, 9))
    assert ConfigInvalid([late, early]).problems == [early, late]


def test_paths_are_dotted_with_positions_in_brackets():
    assert dotted(("models", 0, "replicas", "min")) == "models[0].replicas.min"


@pytest.mark.parametrize(
    ("path", "some"),
    [
        ((), {"server", "models", "static"}),
        (("models", 3), {"name", "aliases", "timeouts"}),
        (("models", 3, "slo", 0), {"class", "ttft_ms"}),
        (("telemetry", "log"), {"level"}),
        (("server", "port"), set()),
        (("nothing", "here"), set()),
        (("server", "port", "deeper"), set()),
    ],
)
def test_the_keys_of_every_section_are_known(path, some):
    keys = set(keys_at(Config, path))
    assert keys >= some
    assert bool(keys) == bool(some)


def test_an_unknown_key_brings_the_nearest_one():
    assert unknown_key("prot", ["host", "port"]) == "unknown key; did you mean port?"
    assert unknown_key("zzz", ["host", "port"]).endswith("the keys here are host, port")
    assert unknown_key("zzz", []) == "unknown key"


@given(key=st.text(), known=st.lists(st.text(min_size=1)))
def test_any_key_gets_an_answer(key, known):
    assert unknown_key(key, known).startswith("unknown key")
