import pytest

from gateway.core.errors import InvalidApiKey, ModelNotFound
from gateway.core.keys import digest_key
from gateway.core.snapshot import FleetSnapshot, KeyView, Limits, ModelView
from gateway.dataplane.gate import admit, ceiling, declared_bytes, find_model, waits_s

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
    ("value", "length"),
    [
        (None, None),
        (b"12", 12),
        (b"", None),
        (b"-1", None),
        (b"1e3", None),
        (b"9" * 5000, None),
    ],
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


SECRET = b"a-secret-of-20-characters"
KEY = KeyView("k", "t")
KEYED = FleetSnapshot(version=1, keys={digest_key(SECRET, b"p"): KEY}, key_pepper=b"p")


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer " + SECRET},
        {b"x-api-key": SECRET},
        {b"x-api-key": b" " + SECRET},
        {b"authorization": b"bearer " + SECRET, b"x-api-key": b"another"},
    ],
)
def test_a_key_may_come_in_the_header_of_its_kind_too(headers):
    assert admit(headers, KEYED, b"x-api-key") is KEY


@pytest.mark.parametrize(
    ("headers", "also", "says"),
    [
        ({b"x-api-key": SECRET}, b"", "no API key: send it as `Authorization: Bearer KEY`"),
        (
            {},
            b"x-api-key",
            "no API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`",
        ),
        ({b"x-api-key": b""}, b"x-api-key", "no API key"),
        ({b"x-api-key": b"x"}, b"x-api-key", "this API key is not known"),
        ({b"authorization": b"Bearer x", b"x-api-key": SECRET}, b"x-api-key", "not known"),
        ({b"authorization": b"Basic x", b"x-api-key": SECRET}, b"x-api-key", "no API key"),
        ({b"": SECRET}, b"", "no API key"),
    ],
)
def test_where_a_key_does_not_belong_it_is_none(headers, also, says):
    with pytest.raises(InvalidApiKey) as refused:
        admit(headers, KEYED, also)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"x-stainless-timeout": b"30"}, 30.0),
        ({b"x-stainless-read-timeout": b"2.5", b"x-stainless-timeout": b"600"}, 2.5),
        ({b"x-stainless-read-timeout": b"600", b"x-stainless-timeout": b"5"}, 5.0),
        ({b"x-stainless-read-timeout": b"600", b"x-stainless-timeout": b"0"}, 600.0),
        *(
            ({b"x-stainless-timeout": odd}, None)
            for odd in (b"", b"None", b"NOT_GIVEN", b"-1", b"0", b"0.0", b"inf", b"nan", b"1e3",
                        b"9" * 400, b"\xb2", b" 5", b"1_0")
        ),
    ],
)  # fmt: skip
def test_what_a_client_says_of_its_patience_is_taken_for_no_more_than_a_hint(headers, seconds):
    assert waits_s(headers) == seconds
