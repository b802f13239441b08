"""From the command line to a simulator."""

import pytest
from click.testing import CliRunner

from backends.simulator import command
from backends.simulator.building import build, profile_for
from backends.simulator.command import sim
from backends.simulator.faults import KINDS
from tests.wire.serving import options


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("nvidia/Llama-3.3-70B-Instruct-FP8", "llama-3.3-70b-fp8-2xh100"),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "llama-3.3-70b-nvfp4-1xb200"),
        ("llama-3.1-8b", "llama-3.1-8b-fp8-1xh100"),
        ("some-8b-NVFP4", "llama-3.1-8b-nvfp4-1xb200"),
    ],
)
def test_a_profile_is_chosen_by_the_models_name(model, name):
    assert profile_for(model) == name


def test_options_go_to_the_engine_and_to_the_wire():
    simulator = build(
        options(max_batch_size=3, max_seq_len=77, faults=("cut",), max_draft_len=2),
        clock=lambda: 0.0,
        wall=lambda: 0.0,
    )
    assert simulator.settings.max_batch_size == 3
    assert simulator.settings.max_seq_len == 77
    assert [fault.kind for fault in simulator.faults.faults] == ["cut"]


def test_no_sequence_can_be_longer_than_the_cache():
    simulator = build(options(max_seq_len=10**9), clock=lambda: 0.0, wall=lambda: 0.0)
    assert simulator.settings.max_seq_len < 10**9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "embeddings"], "--task embeddings exists in dialect main only"),
        (["--served-model-name", "x"], "--served-model-name exists in dialect main only"),
        (
            ["--tool-parser", "x", "--dialect", "1.1"],
            "--tool-parser exists from dialect 1.2 on",
        ),
    ],
)
def test_options_that_the_release_does_not_have_are_refused(arguments, words):
    result = CliRunner().invoke(sim, ["--model", "m", "--port", "0", *arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_the_servers_own_variable_keeps_it_from_storing_responses(monkeypatch):
    seen = []
    monkeypatch.setattr(command, "serve", lambda simulator, *_, **__: seen.append(simulator))
    monkeypatch.setattr(command, "configure_logging", lambda _: None)
    for value in ("", "0"):
        result = CliRunner(env={command.NO_STORE: value}).invoke(
            sim, ["--model", "m", "--port", "0"]
        )
        assert result.exit_code == 0
    assert [simulator.responses.enabled for simulator in seen] == [True, False]


def test_embeddings_are_computed_without_reuse_of_the_cache():
    served = build(
        options(task="embeddings", dialect="main"), clock=lambda: 0.0, wall=lambda: 0.0
    )
    assert served.engine.limits.enable_block_reuse is False


def test_help_lists_every_fault():
    text = CliRunner().invoke(sim, ["--help"]).output
    assert [kind for kind in KINDS if f"  {kind} " not in text] == []
