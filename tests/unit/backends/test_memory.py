from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.gpus import GIB
from backends.memory import Demand, fit, kv_token_bytes
from backends.recipes import Shape

LLAMA = Shape(layers=80, heads=64, kv_heads=8, head_dim=128)
GPT_OSS = Shape(layers=36, heads=64, kv_heads=8, head_dim=64)
DEEPSEEK = Shape(layers=61, heads=128, kv_heads=128, head_dim=128, latent_dim=576)
DEMAND = Demand(
    weights_bytes=72.7e9,
    shape=LLAMA,
    kv_element_bytes=1,
    tp=1,
    attention_dp=False,
    fraction=0.9,
    max_num_tokens=2048,
    max_batch_size=1024,
    request_tokens=2048,
)


@pytest.mark.parametrize(
    ("shape", "element", "tp", "attention_dp", "expected"),
    [
        (GPT_OSS, 2, 1, False, 73728),  # as servers print it
        (DEEPSEEK, 1, 8, False, 35136),
        (LLAMA, 2, 1, False, 327680),
        (LLAMA, 1, 1, False, 163840),
        (LLAMA, 1, 2, False, 81920),
        (LLAMA, 1, 16, False, 20480),  # more GPUs than KV heads: each holds one
        (LLAMA, 1, 8, True, 163840),
    ],
)
def test_the_kv_bytes_of_a_token_are_those_that_servers_report(
    shape, element, tp, attention_dp, expected
):
    assert kv_token_bytes(shape, element, tp=tp, attention_dp=attention_dp) == expected


def test_the_terms_add_up():
    found = fit(DEMAND, memory_bytes=80 * GIB, used_bytes=GIB)
    left = 80 * GIB - GIB - found.weights_bytes - found.overhead_bytes
    assert found.kv_bytes == int(left * 0.9)
    assert found.tokens == found.kv_bytes // 163840
    assert found.tight


def test_a_large_batch_of_tokens_needs_workspace():
    small = fit(DEMAND, memory_bytes=80 * GIB, used_bytes=0)
    large = fit(replace(DEMAND, max_num_tokens=16384), memory_bytes=80 * GIB, used_bytes=0)
    assert large.overhead_bytes - small.overhead_bytes == GIB


def test_with_attention_data_parallelism_every_rank_has_its_own_requests():
    alone = replace(DEMAND, tp=8, attention_dp=True)
    found = fit(alone, memory_bytes=80 * GIB, used_bytes=0)
    assert found.room == 8 * (found.tokens // 2048)
    batch = fit(replace(alone, max_batch_size=4), memory_bytes=80 * GIB, used_bytes=0)
    assert batch.concurrency == 32


@given(memory=st.integers(1, 300), used=st.integers(0, 300), tp=st.sampled_from([1, 2, 4, 8]))
def test_more_memory_never_holds_fewer_tokens(memory, used, tp):
    demand = replace(DEMAND, tp=tp)
    less = fit(demand, memory_bytes=memory * GIB, used_bytes=used * GIB)
    more = fit(demand, memory_bytes=(memory + 1) * GIB, used_bytes=used * GIB)
    assert 0 <= less.tokens <= more.tokens
    assert less.concurrency <= more.concurrency
