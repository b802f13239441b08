import re
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.replica import ReplicaId
from gateway.core.errors import ResponseNotFound
from gateway.core.response_id import StoredResponse, decode, encode

PEPPER = bytes(range(32))
TRTLLM = "resp_" + "0123456789abcdef" * 2
PLAIN = StoredResponse(ReplicaId("llama-3-3-70b-1a2b3c4d"), TRTLLM)
_PACKED_ID = b"\0" + bytes.fromhex(TRTLLM[5:])
ALPHABET = string.ascii_letters + string.digits + "_-"

peppers = st.binary(max_size=64)
names = st.text(max_size=60)
replicas = st.builds(
    StoredResponse,
    st.text(max_size=60).map(ReplicaId),
    st.text(max_size=60)
    | st.text("0123456789abcdef", min_size=32, max_size=32).map(TRTLLM[:5].__add__),
)


@given(replicas, names, peppers)
@example(PLAIN, "key", b"")
def test_an_id_leads_back_to_its_response(stored, key_id, pepper):
    response_id = encode(stored, key_id=key_id, pepper=pepper)
    assert decode(response_id, key_id=key_id, pepper=pepper) == stored
    assert encode(stored, key_id=key_id, pepper=pepper) == response_id
    assert re.fullmatch(r"resp_[A-Za-z0-9_-]+", response_id)


@given(replicas, names, names, peppers)
def test_another_keys_id_is_not_found(stored, key_id, other, pepper):
    response_id = encode(stored, key_id=key_id, pepper=pepper)
    if other != key_id:
        with pytest.raises(ResponseNotFound):
            decode(response_id, key_id=other, pepper=pepper)


@given(replicas, names, peppers, peppers)
@example(PLAIN, "key", PEPPER, b"")
def test_an_id_of_another_pepper_is_not_found(stored, key_id, pepper, other):
    response_id = encode(stored, key_id=key_id, pepper=pepper)
    # BLAKE2b fills a short key up with zeros.
    if other.rstrip(b"\0") != pepper.rstrip(b"\0"):
        with pytest.raises(ResponseNotFound):
            decode(response_id, key_id=key_id, pepper=other)


@pytest.mark.parametrize("upstream", [TRTLLM, "resp_7", "resp_" + "F" * 32])
def test_a_change_of_any_character_is_not_found(upstream):
    stored = StoredResponse(PLAIN.replica, upstream)
    response_id = encode(stored, key_id="key", pepper=PEPPER)
    for at in range(len(response_id)):
        for other in ALPHABET:
            changed = response_id[:at] + other + response_id[at + 1 :]
            if changed != response_id:
                with pytest.raises(ResponseNotFound):
                    decode(changed, key_id="key", pepper=PEPPER)


@given(st.text(ALPHABET, max_size=900).map("resp_".__add__) | st.text(max_size=60))
@example("resp_" + "A" * 700)
@example("resp_" + "A" * 17)
@example(TRTLLM)
@example("resp_" + "é" * 40)
def test_what_was_never_given_out_is_not_found(guess):
    with pytest.raises(ResponseNotFound):
        decode(guess, key_id="key", pepper=PEPPER)


def test_whatever_is_wrong_with_an_id_the_error_is_the_same():
    response_id = encode(PLAIN, key_id="key", pepper=PEPPER)
    forged = response_id[:-1] + ("A" if response_id[-1] != "A" else "B")
    told = set()
    for guess, key in ((response_id, "other"), (forged, "key"), (TRTLLM, "key"), ("", "key")):
        with pytest.raises(ResponseNotFound) as failed:
            decode(guess, key_id=key, pepper=PEPPER)
        told.add((str(failed.value), failed.value.status, failed.value.code))
    assert told == {
        (
            "there is no stored response with this id, or this key may not use it",
            404,
            "not_found",
        )
    }


def test_an_id_tells_nothing_of_the_replica_and_is_not_too_long():
    longest = ReplicaId("m" * 40 + "-0a1b2c3d")
    response_id = encode(StoredResponse(longest, TRTLLM), key_id="key", pepper=PEPPER)
    assert len(response_id) <= 120
    near = encode(
        StoredResponse(ReplicaId("m" * 40 + "-0a1b2c3e"), TRTLLM), key_id="key", pepper=PEPPER
    )
    same = sum(a == b for a, b in zip(response_id[5:], near[5:], strict=True))
    assert same < 20  # one character of the replica's name changes all of it: 1 in 64 is alike


@pytest.mark.parametrize("which", ["replica", "upstream"])
def test_an_id_too_long_to_be_kept_is_refused(which):
    long = "x" * 256
    stored = StoredResponse(
        ReplicaId(long if which == "replica" else "r"), long if which == "upstream" else TRTLLM
    )
    with pytest.raises(ValueError, match="over 255 bytes"):
        encode(stored, key_id="key", pepper=PEPPER)


def test_key_and_replica_cannot_trade_characters():
    """Who knows what an id says can change what is hidden, but not the tag to go with it."""
    known, wanted = b"\2bc" + _PACKED_ID, b"\1c" + _PACKED_ID
    given_id = encode(StoredResponse(ReplicaId("bc"), TRTLLM), key_id="a", pepper=PEPPER)
    sealed = urlsafe_b64decode(given_id.removeprefix("resp_") + "==")
    hidden = bytes(a ^ b ^ c for a, b, c in zip(sealed[12:], known, wanted, strict=False))
    forged = "resp_" + urlsafe_b64encode(sealed[:12] + hidden).rstrip(b"=").decode()
    with pytest.raises(ResponseNotFound):
        decode(forged, key_id="ab", pepper=PEPPER)
