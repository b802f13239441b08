from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.block_hash import hash_block, hash_salt

GOLDEN = (17831341519058834317, 11197498242826443880)
"""Of tokens 1 to 32, and 33 to 64 after them."""
tokens = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=32)


def test_one_token_hashes_as_worked_out_by_hand():
    # Token 0 mixes to 0 + 0x9E3779B9; seed 1: 1 ^ (0x9E3779B9 + (1 << 6) + (1 >> 2)).
    assert hash_block([0]) == 1 ^ (0x9E3779B9 + 64)


def test_a_block_of_a_prompt_keeps_its_hash_for_ever():
    first = hash_block(range(1, 33))
    assert first == GOLDEN[0]
    assert hash_block(range(33, 65), first) == GOLDEN[1]


@given(tokens=tokens, parent=st.integers(0, 2**64 - 1))
def test_hashes_are_64_bits_and_depend_on_the_parent(tokens, parent):
    hashed = hash_block(tokens, parent)
    assert 0 <= hashed < 2**64
    assert hash_block(tokens, parent ^ 1) != hashed


@given(tokens=tokens, place=st.data())
def test_changing_a_token_changes_the_hash(tokens, place):
    changed = list(tokens)
    changed[place.draw(st.integers(0, len(tokens) - 1))] ^= 1
    assert hash_block(changed) != hash_block(tokens)


def test_no_salt_is_the_plain_root_and_salts_differ():
    assert hash_salt("") == 0
    assert len({hash_salt(""), hash_salt("a"), hash_salt("b")}) == 3
