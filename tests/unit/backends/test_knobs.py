import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.knobs import KNOBS, BadKnob, doubled, flatten, merge, read_overrides

keys = st.text("abc", min_size=1, max_size=3)
trees = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


def test_options_may_be_dotted_nested_or_spelled_as_flags():
    read = read_overrides(
        {
            "--max-batch-size": 8,
            "kv_cache_config": {"dtype": "fp8", "free_gpu_memory_fraction": 0.8},
            "cuda_graph_config.batch_sizes": [1, 2],
            "tensor_parallel_size": 2,
        }
    )
    assert read == {
        "max_batch_size": 8,
        "kv_cache_config.dtype": "fp8",
        "kv_cache_free_gpu_memory_fraction": 0.8,
        "cuda_graph_config.batch_sizes": [1, 2],
        "tp_size": 2,
    }


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"max_batch_sise": 1}, "did you mean max_batch_size"),
        ({"zzz": 1}, "known are tp_size"),
        ({"max_batch_size": 0}, "0 is not a whole number from 1"),
        ({"max_batch_size": True}, "True is not a whole number"),
        ({"max_batch_size": "8"}, "'8' is not a whole number"),
        ({"kv_cache_free_gpu_memory_fraction": 1.5}, "1.5 is not a share"),
        ({"kv_cache_free_gpu_memory_fraction": True}, "True is not a share"),
        ({"enable_attention_dp": 1}, "1 is not true or false"),
        ({"kv_cache_config": {"dtype": "fp7"}}, "'fp7' is not one of auto"),
        ({"cuda_graph_config": {"batch_sizes": []}}, r"\[\] is not a list"),
        ({"cuda_graph_config": {"batch_sizes": [0]}}, r"\[0\] is not a list"),
        ({"moe_config.backend": "X"}, "'X' is not one of CUTLASS"),
        ({"tp_size": 1, "tensor_parallel_size": 2}, "stands twice, also as tp_size"),
        ({"trust_remote_code": True}, "only a recipe may set it"),
    ],
)
def test_a_bad_option_is_refused_with_what_is_accepted(overrides, words):
    with pytest.raises(BadKnob, match=words):
        read_overrides(overrides)


@given(trees)
def test_flattening_and_merging_are_inverse(tree):
    assert merge(tree) == tree


@given(trees, trees)
def test_a_later_tree_wins(first, second):
    try:
        merged = dict(flatten(merge(first, second)))
    except (AttributeError, TypeError):  # a leaf in one where the other has a branch
        return
    for path, value in flatten(second):
        assert merged[path] == value


def test_merging_leaves_its_arguments_alone():
    base = {"a": {"b": 1}}
    merge(base, {"a": {"c": 2}})
    assert base == {"a": {"b": 1}}


@pytest.mark.parametrize("knob", [k for k in KNOBS.values() if k.flag], ids=lambda k: k.name)
def test_a_knob_in_both_places_is_found_under_its_other_spelling(knob):
    tree = merge({})
    branch = tree
    *parents, leaf = knob.path.split(".")
    for parent in parents:
        branch = branch.setdefault(parent, {})
    branch[leaf] = 1
    assert doubled({knob.name: 1}, tree) == [knob.name]
    assert doubled({knob.name: 1}, {}) == []
