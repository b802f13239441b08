"""Flags and numbers in every spelling that trtllm-serve's own reader takes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.core.errors import InvalidRequest
from gateway.core.spelling import respelled
from tests.unit.core.test_request import completion

FIELDS = {"stream": bool, "max_tokens": int, "temperature": float}
"""One for each type: all that the gateway itself reads is of these."""
SPELLINGS = [
    "true",
    "false",
    "0",
    "1",
    "5",
    "-0",
    "0.0",
    "1.0",
    "1e0",
    "10E-1",
    "-0.0",
    "0.5",
    "5.0",
    "5e0",
    *(
        json.dumps(text)
        for text in (
            *("1", "0", "5", "5.0", " 5 ", "1_0", "0.5", " 1e1 ", "true", "FALSE"),
            *("yes", "No", "y", "n", "on", "OFF", "T", "f", "maybe", "", " ", "null"),
        )
    ),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("field", FIELDS)
def test_what_pydantic_takes_for_a_value_is_taken_for_that_value(field, spelling):
    try:
        meant = TypeAdapter(FIELDS[field]).validate_python(json.loads(spelling))
    except ValidationError:
        return
    if field == "max_tokens" and meant < 1:
        return  # which the replica refuses itself
    parsed = completion(b',"%b":%b' % (field.encode(), spelling.encode()))
    if field in {"stream", "max_tokens"}:
        assert getattr(parsed, field) == meant
        assert type(getattr(parsed, field)) is FIELDS[field]


@pytest.mark.parametrize("spelling", [b"2", b"2.0", b'"x"', b"[1]", b'"' + b"y" * 99 + b'"'])
def test_what_it_does_not_take_stays_refused(spelling):
    with pytest.raises(InvalidRequest, match='field "stream"'):
        completion(b',"stream":%b' % spelling)


@given(st.binary(max_size=80))
def test_any_text_is_respelled_as_short_text(text):
    assert all(len(each) <= max(len(text), len(b"false")) for each in respelled(text))
