import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.core.body import cut
from gateway.core.session import session_id

ORDER = [b"x-session-id", b"session-id", b"x-claude-code-session-id", b"x-correlation-id"]


def of(headers=None, **fields):
    return session_id(headers or {}, cut(json.dumps(fields).encode(), depth=64).fields)


@pytest.mark.parametrize("at", range(len(ORDER)))
def test_the_first_header_that_names_a_session_counts(at):
    headers = {name: name for name in ORDER[at:]} | dict.fromkeys(ORDER[:at], b"  ")
    assert of(headers, prompt_cache_key="k") == ORDER[at]


def test_the_bodys_field_counts_where_no_header_does():
    assert of(prompt_cache_key="é") == "é".encode()
    assert of({b"x-session-id": b""}, prompt_cache_key=" k ") == b"k"


@pytest.mark.parametrize("value", ["", "  ", None, 7, ["a"], {}])
def test_a_field_that_is_no_text_names_no_session(value):
    assert of(prompt_cache_key=value) is None


def test_most_requests_name_no_session():
    assert of({b"authorization": b"Bearer k"}, model="m") is None


def test_a_field_that_is_no_json_text_names_no_session():
    assert session_id({}, {"prompt_cache_key": Raw(b'"\\ud800"')}) is None


@example(b"x" * 256, b"x" * 257)
@example(b"x" * 257, b"x" * 258)
@given(st.binary(max_size=600).map(bytes.strip), st.binary(max_size=600).map(bytes.strip))
def test_long_names_are_cut_short_and_stay_apart(one, other):
    shown = of({b"session-id": one}), of({b"session-id": other})
    assert all(value is None or 0 < len(value) <= 256 for value in shown)
    assert (shown[0] == shown[1]) is (one == other)
