import shlex
from pathlib import Path

import pytest
import yaml

from backends.gpus import parse_spec
from backends.plan import PlanRequest, plan
from backends.recipes import read_recipes
from backends.trtllm.command import (
    BARE_CONFIG,
    bare_argv,
    bare_script,
    served_name,
    spawned_argv,
    spawned_yaml,
    to_spec,
    to_yaml,
)

RECIPES = read_recipes()
GUIDE = Path(__file__).parents[3] / "fakes" / "guide"


def planned(model="llama-3.3-70b", spec="1xH200", **request):
    return plan(PlanRequest(model, **request), parse_spec(spec), RECIPES)


@pytest.mark.parametrize(
    ("precision", "checkpoint"),
    [
        ("fp8", "nvidia/Llama-3.3-70B-Instruct-FP8"),
        ("nvfp4", "nvidia/Llama-3.3-70B-Instruct-FP4"),
    ],
)
def test_the_base_is_the_guides_command_and_yaml(precision, checkpoint):
    found = planned(spec="1xB200", precision=precision)
    command = (GUIDE / "llama-3.3-70b-fp8.sh").read_text()
    command = command.replace("${EXTRA_LLM_API_FILE}", BARE_CONFIG)
    expected = shlex.split(command.replace("\\\n", " "))
    expected[1] = checkpoint
    assert bare_argv(found) == expected
    assert to_yaml(found.settings.yaml) == (GUIDE / "config.yml").read_text()


def test_the_bare_script_is_the_guides_to_the_letter():
    command = (GUIDE / "llama-3.3-70b-fp8.sh").read_text()
    config = (GUIDE / "config.yml").read_text()
    expected = f"cat << EOF > /tmp/config.yml\n{config}EOF\n\n{command}"
    assert bare_script(planned()) == expected.replace("${EXTRA_LLM_API_FILE}", BARE_CONFIG)


def test_a_spawned_replica_leaves_its_address_to_the_launcher():
    argv = spawned_argv(planned())
    assert argv[:6] == [
        "trtllm-serve",
        "nvidia/Llama-3.3-70B-Instruct-FP8",
        "--host",
        "{host}",
        "--port",
        "{port}",
    ]
    assert argv[-2:] == ["--extra_llm_api_options", "{file:config.yml}"]


def test_the_kv_fraction_of_a_spawned_replica_is_where_the_yaml_cannot_hide_it():
    found = planned()
    assert "--kv_cache_free_gpu_memory_fraction" not in spawned_argv(found)
    tree = yaml.safe_load(spawned_yaml(found))
    assert tree["kv_cache_config"] == {
        "dtype": "fp8",
        "event_buffer_max_size": 16384,
        "free_gpu_memory_fraction": 0.9,
    }


def test_an_asked_for_kv_fraction_takes_effect_in_the_bare_form_too():
    overrides = {"kv_cache_free_gpu_memory_fraction": 0.8}
    found = planned(overrides=overrides)
    assert "--kv_cache_free_gpu_memory_fraction" not in bare_argv(found)
    assert found.settings.yaml["kv_cache_config"]["free_gpu_memory_fraction"] == 0.8


def test_the_specification_holds_all_that_a_launcher_needs():
    found = planned(spec="2xH100")
    spec = to_spec(found, model="llama")
    assert (spec.model, spec.source, spec.launcher) == ("llama", found.checkpoint, "process")
    assert spec.gpus == tuple(gpu.uuid for gpu in found.gpus)
    assert spec.files == {"config.yml": spawned_yaml(found)}
    assert spec.concurrency == found.concurrency
    assert spec.plan["recipe"] == "llama-3.3-70b-fp8"


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [("org/Model", "org/Model"), ("/models/Model-FP8", "Model-FP8"), ("./Model/", "Model")],
)
def test_a_directory_is_served_under_its_last_part(checkpoint, name):
    assert served_name(checkpoint) == name
