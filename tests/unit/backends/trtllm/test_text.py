from backends.explain import refusal_to_json, to_json
from backends.gpus import parse_spec
from backends.plan import PlanRequest, Refusal, plan
from backends.recipes import read_recipes
from backends.trtllm.command import bare_script
from backends.trtllm.text import plan_text, refusal_text

RECIPES = read_recipes()


def test_the_text_of_a_plan_says_what_where_why_and_the_command():
    found = plan(PlanRequest("llama-3.3-70b"), parse_spec("1xH100-80G"), RECIPES)
    text = plan_text(found)
    assert text.startswith(
        "llama-3.3-70b: nvidia/Llama-3.3-70B-Instruct-FP8, FP8, on 1x NVIDIA"
    )
    flat = " ".join(text.split())
    for reason in (*found.reasons, *found.warnings):
        assert " ".join(reason.split()) in flat
    assert "KV cache" in text
    assert "44,076 tokens of 163,840 bytes" in text
    assert "--port PORT" in text
    assert "of which the gateway adds, as 'observe'" in text
    for line in bare_script(found).splitlines():
        assert line.rstrip() in text
    assert max(map(len, text.splitlines())) <= 96


def test_the_text_of_a_refusal_says_why_and_what_is_nearest():
    text = refusal_text(Refusal("does_not_fit", "too large", "fp8 fits on 2 of these"))
    assert text == "Cannot be run as asked: too large.\nNearest: fp8 fits on 2 of these.\n"
    assert refusal_text(Refusal("no_gpu", "none")) == "Cannot be run as asked: none.\n"


def test_the_json_of_a_plan_shows_base_overlay_and_merged_apart():
    found = plan(PlanRequest("llama-3.3-70b"), parse_spec("1xB200"), RECIPES)
    body = to_json(found)
    assert "enable_iter_perf_stats" not in body["base"]["yaml"]
    assert "enable_iter_perf_stats" in body["overlays"]["observe"]["yaml"]
    assert "enable_iter_perf_stats" in body["launched"]["yaml"]
    assert body["memory"]["kv_cache_tokens"] == found.fit.tokens
    assert body["precision"] == "nvfp4"


def test_the_json_of_a_refusal_keeps_its_code():
    assert refusal_to_json(Refusal("no_gpu", "none"))["code"] == "no_gpu"
