import pytest

from backends.gpus import Inventory, parse_spec
from backends.plan import PlanRequest, Refusal, plan
from backends.recipes import read_recipes

RECIPES = read_recipes()
B70, B8 = "llama-3.3-70b", "llama-3.1-8b"
H100 = "NVIDIA H100 80GB HBM3"
FP8_KV = {"overrides": {"kv_cache_config.dtype": "fp8"}}


def refused(model, inventory, **request):
    inventory = parse_spec(inventory) if isinstance(inventory, str) else inventory
    found = plan(PlanRequest(model, **request), inventory, RECIPES)
    assert isinstance(found, Refusal), found
    return found


REFUSALS = [
    (
        B70,
        "2xH100",
        {"precision": "nvfp4"},
        "does_not_fit",
        "needs compute capability 10.0",
        "fp8 fits on 2 of these",
    ),
    (
        B70,
        "8xA100",
        {},
        "does_not_fit",
        "FP8 needs compute capability 8.9",
        f"fp8 fits on 2x {H100}",
    ),
    (
        B70,
        "1xL40S",
        {},
        "does_not_fit",
        "weights and workspace need",
        "fp8 fits on 4x NVIDIA L40S",
    ),
    (B70, "8xH100", {"gpus": 3}, "does_not_fit", "power of two", "fp8 fits on 2 of these"),
    (
        B70,
        "1xH100",
        {"gpus": 2},
        "not_enough_gpus",
        "2 GPUs of one kind",
        "fp8 fits on 1 of these",
    ),
    (
        B70,
        "1xH100",
        {"max_seq_len": 65536},
        "does_not_fit",
        "less than one request",
        f"fp8 fits on 2x {H100}",
    ),
    (
        B8,
        "1xT4",
        {},
        "does_not_fit",
        "BF16 needs compute capability 8.0",
        f"fp8 fits on 1x {H100}",
    ),
    (B8, "1xA100", FP8_KV, "does_not_fit", "a KV cache in fp8", f"fp8 fits on 1x {H100}"),
    (B8, "1xH100", {"precision": "int4"}, "bad_precision", "known are auto", None),
    (B8, "1xH100", {"precision": "nvfp4"}, "bad_precision", "there is no nvfp4 recipe", None),
    (B8, "1xH100", {"gpus": ("GPU-x",)}, "unknown_gpu", "GPU-x", None),
    (B8, "1xH100", {"gpus": ()}, "unknown_gpu", "none named", None),
    (B8, "1xH100", {"gpus": 0}, "bad_override", "whole number", None),
    (
        B8,
        "4xH100",
        {"gpus": 2, "overrides": {"tp_size": 4}},
        "bad_override",
        "contradicts",
        None,
    ),
    (
        B8,
        "1xH100",
        {"overrides": {"max_batch": 1}},
        "bad_override",
        "did you mean max_batch_size",
        None,
    ),
    (B8, "1xH100", {"max_seq_len": 0}, "bad_override", "max_seq_len: 0", None),
    ("llama-3.3-7b", "1xH100", {}, "unknown_model", "no recipe", "did you mean llama-3.3-70b?"),
    ("zzz", "1xH100", {}, "unknown_model", "no recipe", "known are"),
]


@pytest.mark.parametrize(("model", "spec", "request_", "code", "reason", "nearest"), REFUSALS)
def test_a_refusal_says_why_and_what_would_work(model, spec, request_, code, reason, nearest):
    found = refused(model, spec, **request_)
    assert found.code == code
    assert reason in found.reason
    assert (found.nearest is None) if nearest is None else (nearest in found.nearest)
    assert found.message.startswith(found.reason)


def test_no_gpu_is_refused_with_the_drivers_problem_and_a_gpu_that_would_do():
    found = refused(B70, Inventory(problem="no NVIDIA driver is installed"))
    assert found.code == "no_gpu"
    assert "no NVIDIA driver is installed" in found.reason
    assert found.nearest == f"fp8 fits on 2x {H100}"
