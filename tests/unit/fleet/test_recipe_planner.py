import pytest

from backends.gpus import Inventory, parse_spec
from backends.plan import Refusal
from backends.recipes import read_recipes
from backends.simulated import SimulatorOptions
from gateway.fleet.planning import CreateRequest
from gateway.fleet.recipe_planner import RecipePlanner
from gateway.fleet.settings import ModelSettings

pytestmark = pytest.mark.anyio

REAL = ModelSettings(
    "llama-3.3-70b", "nvidia/Llama-3.3-70B-Instruct-FP8", overrides={"max_batch_size": 256}
)
SIM = ModelSettings(
    "llama",
    "org/llama",
    launcher="sim",
    sim=SimulatorOptions("llama-3.3-70b-fp8-2xh100", seed=4),
)


class Gpus:
    def __init__(self, inventory):
        self.inventory = inventory

    def read(self):
        return self.inventory


def planner(inventory=None):
    return RecipePlanner(Gpus(inventory or parse_spec("2xH100-80G")), read_recipes())


async def test_a_real_replica_comes_from_its_recipe_under_the_gateways_name():
    spec = await planner()(CreateRequest(REAL.name), REAL, frozenset())
    assert (spec.model, spec.source, spec.launcher) == (REAL.name, REAL.source, "process")
    assert spec.argv[0] == "trtllm-serve"
    assert spec.argv[spec.argv.index("--max_batch_size") + 1] == "256"
    assert spec.gpus


async def test_the_requests_own_options_win_and_taken_gpus_are_left_alone():
    inventory = parse_spec("2xH100-80G")
    first, second = (gpu.uuid for gpu in inventory.gpus)
    request = CreateRequest(REAL.name, gpus=1, overrides={"max_batch_size": 64})
    spec = await planner(inventory)(request, REAL, frozenset({first}))
    assert spec.gpus == (second,)
    assert spec.argv[spec.argv.index("--max_batch_size") + 1] == "64"


async def test_a_host_without_gpus_refuses_with_the_reason():
    refusal = await planner(Inventory(problem="no NVIDIA driver"))(
        CreateRequest(REAL.name), REAL, frozenset()
    )
    assert isinstance(refusal, Refusal)
    assert "no NVIDIA driver" in refusal.message


async def test_a_simulated_replica_takes_the_models_options_and_the_requests():
    request = CreateRequest(SIM.name, overrides={"time_scale": 10, "faults": ["hang"]})
    spec = await planner()(request, SIM, frozenset())
    assert (spec.model, spec.source, spec.launcher) == ("llama", "org/llama", "sim")
    words = list(spec.argv)
    for option, value in [
        ("--profile", "llama-3.3-70b-fp8-2xh100"),
        ("--seed", "4"),
        ("--time-scale", "10.0"),
        ("--fault", "hang"),
    ]:
        assert words[words.index(option) + 1] == value


async def test_a_model_may_be_simulated_by_request():
    spec = await planner()(CreateRequest(REAL.name, launcher="sim"), REAL, frozenset())
    assert spec.launcher == "sim"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (CreateRequest("llama", gpus=1), "has no GPUs"),
        (CreateRequest("llama", precision="fp8"), "no precision of its own"),
        (CreateRequest("llama", overrides={"speed": 1}), "no option speed; it has profile"),
        (CreateRequest("llama", overrides={"seed": "x"}), "Expected `int`"),
    ],
)
async def test_what_a_simulator_cannot_do_is_refused(request_, words):
    refusal = await planner()(request_, SIM, frozenset())
    assert isinstance(refusal, Refusal)
    assert words in refusal.message
