import pytest

from backends.trtllm.era import judge_era

C, E = {"disaggregated_params": {}}, {"disaggregated_params": {}, "max_batch_size": 8}


@pytest.mark.parametrize(
    ("version", "info", "has_clock", "era"),
    [
        ("1.0.0", None, False, "1.0"),
        ("1.1.0", None, True, "1.1"),
        ("1.2.0rc3", C, None, "1.2"),
        ("1.3.0rc1", C, None, "main"),
        ("1.3.0rc13", E, None, "main"),
        ("1.3.0rc25", None, False, "main"),
        ("1.2.0", E, None, "main"),
        ("1.1.0", None, False, "1.0"),
        ("1.0.0", None, None, "1.0"),
        ("0.21.0", None, None, "1.0"),
        (None, None, None, "1.1"),
        ("nightly", C, None, "1.2"),
        (None, E, None, "main"),
    ],
)
def test_the_era_is_what_the_server_offers_and_then_its_number(version, info, has_clock, era):
    assert judge_era(version, info, has_clock=has_clock) == era
