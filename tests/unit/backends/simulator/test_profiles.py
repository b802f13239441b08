import pytest

from backends.simulator.profiles import PROFILES, UnknownProfile, Workload, profile

CHUNK = Workload(tokens=8192, attention_pairs=8192 * 4096, kv_tokens_read=0, has_prefill=True)


def decoding(streams, kv_tokens):
    return Workload(
        tokens=streams, attention_pairs=0.0, kv_tokens_read=kv_tokens, has_prefill=False
    )


STATED = {
    # flops, attention FLOP/s, bandwidth, KV bytes per token, pool, overhead, max batch
    "llama-3.3-70b-fp8-2xh100": (1.98e15, 1.2e15, 5.0e12, 163_840, 396_000, 4e-3, 256),
    "llama-3.1-8b-fp8-1xh100": (0.99e15, 0.6e15, 2.5e12, 65_536, 885_000, 2.5e-3, 512),
}


@pytest.mark.parametrize("name", STATED)
def test_the_two_published_profiles_have_their_published_constants(name):
    built = profile(name)
    flops, attention, bandwidth, kv_bytes, pool, overhead_s, max_batch = STATED[name]
    assert built.flops == pytest.approx(flops, rel=0.01)
    assert built.attention_flops == pytest.approx(attention, rel=0.01)
    assert built.bandwidth == pytest.approx(bandwidth, rel=0.01)
    assert built.kv_bytes_per_token == kv_bytes
    assert built.kv_pool_tokens == pytest.approx(pool, rel=0.01)
    assert built.overhead_s == pytest.approx(overhead_s)
    assert built.prefill_overhead_s == pytest.approx(3e-3)
    assert built.max_batch_size == max_batch


def test_attention_flop_per_pair_is_four_times_layers_heads_and_head_dim():
    assert profile("llama-3.3-70b-fp8-2xh100").attention_flop_per_pair == 4 * 80 * 64 * 128
    assert profile("llama-3.1-8b-fp8-1xh100").attention_flop_per_pair == 4 * 32 * 32 * 128


def test_a_decoding_step_takes_what_the_formula_gives_by_hand():
    # 64 streams of 2,000 tokens on 70B FP8, 2 x H100. Reading: 70.6 GB weights + 163,840 B x
    # 128,000 tokens = 20.97 GB, at 2 x 0.75 x 3.35 TB/s = 5.025 TB/s: 18.223 ms. Computing:
    # 2 x 70e9 x 64 / 1.979e15 = 4.528 ms. The slower, plus 4 ms: 22.223 ms.
    step_s = profile("llama-3.3-70b-fp8-2xh100").iteration_s(decoding(64, 128_000))
    assert step_s == pytest.approx(0.022223, abs=1e-6)


def test_a_prefill_chunk_takes_what_the_formula_gives_by_hand():
    # 8,192 tokens, nothing before them, on 70B FP8, 2 x H100. Computing: 2 x 70e9 x 8192 /
    # 1.979e15 = 579.52 ms, and 2,621,440 x 8192 x 4096 / 1.2e15 = 73.30 ms of attention.
    # Reading the weights, 14.05 ms, hides behind it. Plus 4 + 3 ms: 659.8 ms.
    step_s = profile("llama-3.3-70b-fp8-2xh100").iteration_s(CHUNK)
    assert step_s == pytest.approx(0.6598, abs=1e-4)


def test_70b_decodes_in_18_to_30_ms_and_prefills_about_14k_tokens_a_second():
    large = profile("llama-3.3-70b-fp8-2xh100")
    assert 0.018 <= large.iteration_s(decoding(1, 500)) <= 0.030
    assert 0.018 <= large.iteration_s(decoding(128, 300_000)) <= 0.030
    chunk_s = large.iteration_s(CHUNK)
    assert 12_000 < 8192 / chunk_s < 16_000


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("llama-3.3-70b-fp8-1xh200", 402_000),
        ("llama-3.3-70b-fp8-1xb200", 629_000),
        ("llama-3.3-70b-nvfp4-1xb200", 794_000),
        ("llama-3.1-8b-fp8-1xh200", 1_900_000),
        ("llama-3.1-8b-fp8-1xb200", 2_400_000),
    ],
)
def test_other_pools_agree_with_the_planners_memory_table(name, tokens):
    assert profile(name).kv_pool_tokens == pytest.approx(tokens, rel=0.03)


def test_an_unknown_name_is_refused_with_the_names_that_exist():
    with pytest.raises(UnknownProfile, match=r"no profile 'gpt-5-1xh100'.*llama-3\.1-8b-fp8"):
        profile("gpt-5-1xh100")


def test_four_bit_weights_run_on_blackwell_only():
    assert {name.rsplit("x", 1)[1] for name in PROFILES if "nvfp4" in name} == {"b200"}


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_called_by_its_own_name_and_decodes_in_sensible_time(name):
    built = profile(name)
    assert built.name == name
    assert 2e-3 < built.iteration_s(decoding(1, 1000)) < 50e-3


def test_more_gpus_and_fewer_bits_are_never_slower_on_a_long_prefill():
    ladder = [
        "llama-3.3-70b-fp8-1xh200",
        "llama-3.3-70b-fp8-2xh200",
        "llama-3.3-70b-fp8-2xb200",
        "llama-3.3-70b-nvfp4-2xb200",
    ]
    times = [profile(name).iteration_s(CHUNK) for name in ladder]
    assert times == sorted(times, reverse=True)
