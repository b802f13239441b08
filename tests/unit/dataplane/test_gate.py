import pytest

from gateway.core.errors import ModelNotFound
from gateway.core.snapshot import FleetSnapshot, KeyView, Limits, ModelView
from gateway.dataplane.gate import ceiling, declared_bytes, find_model

MODELS = {
    "a": ModelView("a", 1, limits=Limits(body_bytes=5, depth=9)),
    "b": ModelView("b", 1, aliases=("c",), limits=Limits(body_bytes=7, depth=3)),
}
SNAPSHOT = FleetSnapshot(version=1, models=MODELS)


def test_until_the_model_is_known_the_most_generous_limits_hold():
    most = ceiling(SNAPSHOT)
    assert (most.body_bytes, most.depth) == (7, 9)
    assert ceiling(FleetSnapshot(version=0)) == Limits()


@pytest.mark.parametrize(
    ("value", "length"), [(None, None), (b"12", 12), (b"", None), (b"-1", None), (b"1e3", None)]
)
def test_a_length_is_what_the_client_announced(value, length):
    assert declared_bytes({} if value is None else {b"content-length": value}) == length


def test_a_key_may_use_its_models_by_any_of_their_names():
    key = KeyView("k", "t", models=("b",))
    assert find_model(SNAPSHOT, "c", key) is MODELS["b"]
    for name in ("a", "zzz"):
        with pytest.raises(ModelNotFound) as refused:
            find_model(SNAPSHOT, name, key)
        assert str(refused.value).startswith(f'model "{name}" does not exist, or')
