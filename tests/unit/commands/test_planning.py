from dataclasses import replace

import pytest
from click.testing import CliRunner

from backends.gpus import Inventory, parse_spec
from gateway.commands import planning


@pytest.fixture
def host(monkeypatch):
    """Put GPUs into this host."""

    def put(inventory):
        class Reader:
            def read(self):
                return inventory

        monkeypatch.setattr(planning, "NvmlReader", Reader)

    return put


def gpus(*arguments):
    return CliRunner().invoke(planning.gpus, arguments)


def test_gpus_are_shown_as_a_table(host):
    lost, fine = parse_spec("2xH100-80G").gpus
    lost = replace(lost, problem="lost: reset it")
    host(Inventory((lost, fine), driver="580.1", problem="1 GPU cannot be used"))
    lines = gpus().output.splitlines()
    assert "NVIDIA H100 80GB HBM3" in lines[1]
    assert "lost: reset it" in lines[1]
    assert "79.2 of 79.2 GiB" in lines[2]
    assert "usable" in lines[2]
    assert lines[3] == "not all of them: 1 GPU cannot be used"


def test_gpus_are_printed_for_machines(host):
    host(parse_spec("1xB200"))
    assert '"NVIDIA B200"' in gpus("--json").output


def test_a_host_without_gpus_says_why(host):
    host(Inventory(problem="no NVIDIA driver is installed"))
    assert gpus().output == "no GPUs: no NVIDIA driver is installed\n"
    host(Inventory())
    assert gpus().output == "no GPUs: this host has none\n"


def test_a_plan_is_made_for_this_host_unless_another_is_named(host):
    host(parse_spec("2xH200"))
    done = CliRunner().invoke(planning.plan, ["llama-3.3-70b"])
    assert done.exit_code == 0
    assert "H200" in done.output
