import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.keys import MAX_LENGTH, MIN_LENGTH, digest_key, secret_problem

VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
PEPPER = bytes(range(32))


@given(secret=st.text(VISIBLE, min_size=MIN_LENGTH, max_size=MAX_LENGTH))
def test_any_visible_text_of_the_right_length_is_a_secret(secret):
    assert secret_problem(secret) is None


@given(secret=st.binary(), other=st.binary())
def test_two_secrets_share_a_digest_only_when_they_are_the_same(secret, other):
    same = digest_key(secret, PEPPER) == digest_key(other, PEPPER)
    assert same == (secret == other)


def test_another_pepper_gives_another_digest():
    secret = b"sk-0123456789abcdefghij"
    assert digest_key(secret, PEPPER) != digest_key(secret, PEPPER[::-1])
    assert len(digest_key(secret, PEPPER)) == 64


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "empty"),
        ("x" * 19, "not 19"),
        ("x" * 129, "not 129"),
        ("has a space in its middle", "character 4"),
        ("umlaut-ä-is-not-visible-ascii", "character 8"),
        ("ends-with-a-line-feed-here\n", "character 27"),
    ],
)
def test_what_is_no_secret_is_said_without_showing_it(secret, said):
    problem = secret_problem(secret)
    assert said in problem
    assert not secret or secret not in problem
