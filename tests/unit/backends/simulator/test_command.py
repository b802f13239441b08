"""From the command line to a simulator."""

import pytest
from click.testing import CliRunner

from backends.simulator.command import build, profile_for, sim
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


def test_help_lists_every_fault():
    text = CliRunner().invoke(sim, ["--help"]).output
    assert [kind for kind in KINDS if f"  {kind} " not in text] == []
