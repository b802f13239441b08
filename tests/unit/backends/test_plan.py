from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.gpus import GIB, Inventory, parse_spec
from backends.knobs import KNOBS, doubled
from backends.plan import Plan, PlanRequest, Refusal, plan
from backends.recipes import read_recipes

RECIPES = read_recipes()
B70, B8 = "llama-3.3-70b", "llama-3.1-8b"


def planned(model, spec, **request):
    found = plan(PlanRequest(model, **request), parse_spec(spec), RECIPES)
    assert isinstance(found, Plan), found
    return found


def refused(model, inventory, **request):
    inventory = parse_spec(inventory) if isinstance(inventory, str) else inventory
    found = plan(PlanRequest(model, **request), inventory, RECIPES)
    assert isinstance(found, Refusal), found
    return found


PLANS = [
    # model, GPUs there, recipe, GPUs used, thousands of tokens, tight
    (B70, "1xH100-80G", "llama-3.3-70b-fp8", 1, 44, True),
    (B70, "2xH100-80G", "llama-3.3-70b-fp8", 2, 463, False),
    (B70, "8xH100-80G", "llama-3.3-70b-fp8", 2, 463, False),
    (B70, "1xH200", "llama-3.3-70b-fp8", 1, 401, False),
    (B70, "1xB200", "llama-3.3-70b-nvfp4", 1, 793, False),
    (B70, "1xGB200", "llama-3.3-70b-nvfp4", 1, 827, False),
    (B70, "4xL40S", "llama-3.3-70b-fp8", 4, 504, False),
    (B70, "1xRTX-PRO-6000", "llama-3.3-70b-nvfp4", 1, 301, False),
    (B8, "1xH100", "llama-3.1-8b-fp8", 1, 983, False),
    (B8, "1xH200", "llama-3.1-8b-fp8", 1, 1877, False),
    (B8, "1xB200", "llama-3.1-8b-fp8", 1, 2445, False),
    (B8, "1xA100-80G", "llama-3.1-8b-bf16", 1, 443, False),
    (B8, "1xA100-40G", "llama-3.1-8b-bf16", 1, 150, False),
    (B8, "1xL40S", "llama-3.1-8b-fp8", 1, 469, False),
    (B8, "1xL4", "llama-3.1-8b-fp8", 1, 140, False),
]


@pytest.mark.parametrize(("model", "spec", "recipe", "count", "tokens_k", "tight"), PLANS)
def test_the_best_recipe_and_the_fewest_gpus_with_room_are_chosen(
    model, spec, recipe, count, tokens_k, tight
):
    found = planned(model, spec)
    assert (found.recipe.id, len(found.gpus), found.fit.tight) == (recipe, count, tight)
    assert found.fit.tokens // 1000 == tokens_k
    assert any(warning.startswith("tight") for warning in found.warnings) is tight


def test_a_lost_gpu_is_not_used():
    there = parse_spec("2xH200")
    lost = replace(there.gpus[0], problem="GPU is lost")
    found = plan(PlanRequest(B70), Inventory((lost, there.gpus[1])), RECIPES)
    assert found.gpus == (there.gpus[1],)
    assert "GPU is lost" in refused(B70, Inventory((lost,))).reason


def test_gpus_of_other_replicas_are_not_used():
    there = parse_spec("2xH200")
    first, second = (gpu.uuid for gpu in there.gpus)
    found = plan(PlanRequest(B70, taken=frozenset({first})), there, RECIPES)
    assert [gpu.uuid for gpu in found.gpus] == [second]
    all_taken = plan(PlanRequest(B70, taken=frozenset({first, second})), there, RECIPES)
    assert all_taken.code == "gpus_taken"


def test_named_gpus_are_the_ones_used():
    there = parse_spec("4xH100")
    named = tuple(gpu.uuid for gpu in there.gpus[2:])
    found = plan(PlanRequest(B70, gpus=named), there, RECIPES)
    assert tuple(gpu.uuid for gpu in found.gpus) == named


def test_gpus_of_one_nvlink_island_are_preferred_to_freer_ones_apart():
    a, b, c, d = parse_spec("4xH100").gpus
    there = Inventory(
        tuple(
            replace(gpu, island=island, free_bytes=gpu.memory_bytes - used)
            for gpu, island, used in ((a, 0, 0), (b, 1, GIB), (c, 1, GIB), (d, 2, 0))
        )
    )
    found = plan(PlanRequest(B70, gpus=2), there, RECIPES)
    assert [gpu.index for gpu in found.gpus] == [1, 2]
    assert any("1.0 GiB of the GPU memory is held by others" in w for w in found.warnings)


def test_gpus_without_nvlink_are_used_with_a_warning():
    assert any("no NVLink" in warning for warning in planned(B70, "4xL40S").warnings)


def test_a_mig_slice_takes_no_model_that_needs_two():
    slices = tuple(replace(gpu, mig=True) for gpu in parse_spec("2xA100-40G,2xL40S").gpus[2:])
    assert "MIG slices" in refused(B70, Inventory(slices), gpus=2).reason


def test_a_checkpoint_named_exactly_is_the_one_that_is_loaded():
    found = planned("/models/Llama-3.3-70B-Instruct-FP8", "1xB200")
    assert (found.checkpoint, found.precision) == ("/models/Llama-3.3-70B-Instruct-FP8", "fp8")


def test_a_checkpoint_and_another_precision_of_it_contradict_each_other():
    found = refused("nvidia/Llama-3.3-70B-Instruct-FP8", "1xB200", precision="nvfp4")
    assert found.code == "bad_precision"
    assert "fp8 (nvidia/Llama-3.3-70B-Instruct-FP8)" in found.reason


def test_a_repository_that_is_a_checkpoint_and_a_family_may_be_asked_for_in_other_precisions():
    assert planned("meta-llama/Llama-3.1-8B-Instruct", "1xH100").precision == "bf16"
    found = planned("meta-llama/Llama-3.1-8B-Instruct", "1xH100", precision="fp8")
    assert found.checkpoint == "nvidia/Llama-3.1-8B-Instruct-FP8"


def test_a_longer_max_seq_len_says_what_it_costs_and_admits_prompts_longer_than_a_batch():
    found = planned(B8, "1xH100", max_seq_len=8192)
    assert found.settings.yaml["enable_chunked_prefill"] is True
    assert any("max_seq_len 8,192: 120 requests of full length" in r for r in found.reasons)
    wide = planned(B8, "1xH100", max_seq_len=8192, overrides={"max_num_tokens": 8192})
    assert "enable_chunked_prefill" not in wide.settings.yaml


def test_the_cuda_graphs_follow_max_batch_size_unless_told_otherwise():
    follows = planned(B8, "1xH100", overrides={"max_batch_size": 256})
    assert follows.settings.get("cuda_graph_config.max_batch_size") == 256
    assert follows.concurrency == 256
    graphs = {"max_batch_size": 256, "cuda_graph_config": {"max_batch_size": 64}}
    differs = planned(B8, "1xH100", overrides=graphs)
    assert any("64 differs from max_batch_size 256" in w for w in differs.warnings)


def test_an_expert_parallel_size_without_experts_is_warned_of():
    found = planned(B70, "2xH100", overrides={"ep_size": 2})
    assert any("ep_size has no effect" in warning for warning in found.warnings)


def test_experts_are_spread_with_the_tensors():
    def with_experts(ep):
        dense = RECIPES["llama-3.3-70b-fp8"]
        flags = {**dense.flags, "tp_size": 8, "ep_size": ep}
        return {dense.id: msgspec.structs.replace(dense, moe=True, flags=flags)}

    for recipe_ep, expected in ((8, 4), (2, 2)):
        found = plan(PlanRequest(B70, gpus=4), parse_spec("8xH200"), with_experts(recipe_ep))
        assert found.settings.get("ep_size") == expected
        assert not any("ep_size has no effect" in warning for warning in found.warnings)


def test_heads_that_cannot_be_split_are_refused():
    recipe = RECIPES["llama-3.1-8b-fp8"]
    odd = msgspec.structs.replace(recipe.shape, heads=6, kv_heads=3)
    recipes = {recipe.id: msgspec.structs.replace(recipe, shape=odd)}
    found = plan(PlanRequest(B8, gpus=4), parse_spec("4xH200"), recipes)
    assert "6 heads with 3 for KV cannot be split over 4 GPUs" in found.reason


def test_nothing_is_named_as_nearest_where_nothing_would_do():
    recipe = msgspec.structs.replace(RECIPES["llama-3.1-8b-fp8"], weights_gb=1e6)
    found = plan(PlanRequest(B8), parse_spec("1xH200"), {recipe.id: recipe})
    assert (found.code, found.nearest) == ("does_not_fit", None)


def test_an_old_driver_and_an_old_release_are_warned_of():
    there = replace(parse_spec("1xH200"), driver="550.54.15")
    found = plan(PlanRequest(B70, release="0.21.0"), there, RECIPES)
    assert any("driver 550.54.15 is older than the 575" in w for w in found.warnings)
    assert any("needs trtllm-serve 1.0.0; 0.21.0 is older" in w for w in found.warnings)


def test_a_release_without_request_timings_is_not_told_to_keep_them():
    old, new = planned(B8, "1xH100", release="1.0.0"), planned(B8, "1xH100", release="1.2.0")
    assert "perf_metrics_max_requests" not in old.settings.overlays["observe"].yaml
    assert "perf_metrics_max_requests" in new.settings.overlays["observe"].yaml


def test_the_observe_overlay_is_in_what_is_launched_and_not_in_the_base():
    settings = planned(B70, "1xH200").settings
    _, launched = settings.launched()
    assert launched["enable_iter_perf_stats"] is True
    assert launched["kv_cache_config"]["event_buffer_max_size"] > 0
    assert "enable_iter_perf_stats" not in settings.yaml


_values = {
    "max_batch_size": st.integers(1, 2048),
    "max_num_tokens": st.integers(1, 8192),
    "max_seq_len": st.integers(1, 4096),
    "kv_cache_free_gpu_memory_fraction": st.floats(0.5, 0.95),
    "enable_attention_dp": st.booleans(),
    "kv_cache_config.dtype": st.sampled_from(["auto", "fp8"]),
    "cuda_graph_config.enable_padding": st.booleans(),
    "cuda_graph_config.max_batch_size": st.integers(1, 2048),
    "cuda_graph_config.batch_sizes": st.lists(st.integers(1, 64), min_size=1),
    "moe_config.backend": st.sampled_from(["CUTLASS", "TRTLLM"]),
    "attention_backend": st.sampled_from(["TRTLLM", "FLASHINFER"]),
    "ep_size": st.integers(1, 2),
    "tp_size": st.sampled_from([1, 2, 4, 8]),
}


@given(
    model=st.sampled_from([B70, B8]),
    spec=st.sampled_from(["8xH100", "8xH200", "8xB200", "8xL40S"]),
    overrides=st.fixed_dictionaries({}, optional=_values),
)
def test_every_knob_stands_in_the_flags_or_in_the_yaml_and_never_in_both(
    model, spec, overrides
):
    found = plan(PlanRequest(model, overrides=overrides), parse_spec(spec), RECIPES)
    if isinstance(found, Refusal):
        assert found.code == "does_not_fit"
        return
    flags, yaml = found.settings.launched()
    assert doubled(flags, yaml) == []
    assert doubled(found.settings.flags, found.settings.yaml) == []
    for name, value in overrides.items():
        assert found.settings.get(name) == value
        assert flags.get(name, _leaf(yaml, KNOBS[name].path)) == value


def _leaf(tree, path):
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


@given(
    spec=st.sampled_from(["1xH100", "2xH100", "1xB200", "4xL40S", "1xA100", "2xH200,4xH100"]),
    model=st.sampled_from([B70, B8]),
)
def test_a_plan_never_holds_more_than_the_gpus_have(spec, model):
    found = plan(PlanRequest(model), parse_spec(spec), RECIPES)
    if isinstance(found, Plan):
        fit = found.fit
        needed = fit.weights_bytes + fit.overhead_bytes + fit.kv_bytes + fit.used_bytes
        assert needed <= fit.memory_bytes
        assert fit.tokens >= found.settings.get("max_seq_len")
        assert len({gpu.name for gpu in found.gpus}) == 1
