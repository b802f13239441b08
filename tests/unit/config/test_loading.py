from pathlib import Path

import pytest

from gateway.config import ConfigInvalid, demo_config, load
from gateway.config.loading import DEMO
from gateway.config.sources import at_flags

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a configuration; its problems then begin with ``gateway.yaml``."""
    monkeypatch.chdir(tmp_path)

    def write_(text):
        Path("gateway.yaml").write_text(text)
        return Path("gateway.yaml")

    return write_


def problems(path, environ=None, **more):
    with pytest.raises(ConfigInvalid) as caught:
        load(path, environ or {}, **more)
    return str(caught.value).splitlines()


def test_nothing_at_all_is_a_configuration_on_loopback_without_keys():
    config = load(None, {})
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert (config.admin.host, config.admin.port) == ("127.0.0.1", 8081)
    assert not config.auth.asks_for_key
    assert not config.admin.asks_for_token


def test_every_problem_is_told_at_once_with_its_line(write):
    file = write((GOLDEN / "wrong.yaml").read_text())
    assert problems(file) == (GOLDEN / "wrong.txt").read_text().splitlines()


def test_environment_wins_over_file_and_flags_over_both(write):
    file = write("server: {port: 1111, grace_s: 1}\nadmin: {port: 2222}\n")
    environ = {"TRTGW_SERVER__PORT": "3333", "TRTGW_ADMIN__PORT": "4444"}
    flags = at_flags({("server", "port"): ("--port", 5555)})
    config = load(file, environ, flags=flags)
    assert config.server.port == 5555
    assert config.admin.port == 4444
    assert config.server.grace_s == 1


def test_a_wrong_value_is_told_at_the_place_that_won(write):
    file = write("server: {port: 1}\n")
    assert problems(file, {"TRTGW_SERVER__PORT": "x"}) == [
        "TRTGW_SERVER__PORT: server.port: must be a valid integer, not 'x'"
    ]
    flags = at_flags({("server", "port"): ("--port", 70_000)})
    assert problems(file, {}, flags=flags) == [
        "--port: server.port: must be less than or equal to 65535, not 70000"
    ]


def test_a_broken_file_and_a_broken_variable_are_told_together(write):
    said = problems(write("a: [\n"), {"TRTGW_SEVER__PORT": "1"})
    assert said[0].startswith("TRTGW_SEVER__PORT: ")
    assert said[1].startswith("gateway.yaml:2: is not valid YAML")


def test_replicas_of_the_command_line_are_added_to_those_of_the_file(write):
    file = write("static: ['http://a:1']\n")
    assert load(file, {}, replicas=("http://b:2",)).static == ("http://a:1", "http://b:2")
    assert problems(file, replicas=("b:2",))[0].startswith("--replica: static[1]: must be")


def test_a_models_own_value_wins_over_defaults_key_by_key(write):
    file = write(
        """\
defaults:
  launcher: sim
  timeouts: {connect_s: 2, queue_s: 3}
  slo: [{class: fast, ttft_ms: 100}]
models:
  - name: a
    timeouts: {queue_s: 4}
  - name: b
    launcher: process
    slo: [{ttft_ms: 900}]
"""
    )
    a, b = load(file, {}).resolved_models()
    assert (a.launcher, b.launcher) == ("sim", "process")
    assert (a.timeouts.connect_s, a.timeouts.queue_s, a.timeouts.total_s) == (2, 4, 600)
    assert (b.timeouts.connect_s, b.timeouts.queue_s) == (2, 3)
    assert [(slo.class_, slo.ttft_ms) for slo in a.slo + b.slo] == [
        ("fast", 100),
        ("default", 900),
    ]


def test_the_demo_has_two_models_on_three_simulated_replicas_that_end_with_it():
    config = demo_config()
    assert [(m.name, m.launcher, m.replicas.initial, m.sim.profile) for m in config.models] == [
        ("llama-3.3-70b", "sim", 2, "llama-3.3-70b-fp8-2xh100"),
        ("llama-3.1-8b", "sim", 1, "llama-3.1-8b-fp8-1xh100"),
    ]
    assert config.server.replicas_on_exit == "stop"


def test_the_demo_can_be_changed_like_any_other_configuration():
    config = load(None, {"TRTGW_SERVER__PORT": "9000"}, base=DEMO)
    assert config.server.port == 9000
    assert len(config.models) == 2


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_are_valid(file, tmp_path):
    copy = tmp_path / file.name
    copy.write_text(file.read_text())
    for number, name in enumerate(("app.key", "batch.key", "ops.token", "prometheus.token")):
        (tmp_path / name).write_text(f"an-example-secret-of-a-file-{number}")
    assert load(copy, {}).models
