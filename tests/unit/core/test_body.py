import json
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import cut
from gateway.core.errors import InvalidRequest

numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def nesting(value):
    if isinstance(value, dict):
        return 1 + max(map(nesting, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(nesting, value), default=0)
    return 0


@given(st.binary(max_size=200))
def test_any_bytes_are_cut_or_refused_with_a_reason(body):
    with suppress(InvalidRequest):
        cut(body, depth=8)


@given(body=st.dictionaries(st.text(), values), ascii_only=st.booleans())
def test_an_object_is_cut_into_its_fields_unchanged(body, ascii_only):
    try:
        wire = json.dumps(body, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # half a surrogate pair cannot be sent raw
        return
    assert {k: json.loads(bytes(v)) for k, v in cut(wire, depth=99).items()} == body


@given(body=st.dictionaries(st.text(alphabet='a"\\[]{}', max_size=9), values, max_size=3))
def test_exactly_the_bodies_nested_too_deep_are_refused_as_such(body):
    wire, deep = json.dumps(body).encode(), nesting(body)
    assert set(cut(wire, depth=deep)) == set(body)
    if deep > 1:
        with pytest.raises(InvalidRequest, match=f"nested over {deep - 1} levels deep"):
            cut(wire, depth=deep - 1)


def test_of_repeated_names_the_last_counts():
    assert bytes(cut(b'{"a":1,"a":2}', depth=9)["a"]) == b"2"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"[1]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":1', "not valid JSON"),
        (b'{"a":"\\q"}', "not valid JSON"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        (b'{"a":"\xff"}', "not UTF-8: invalid start byte at byte 6"),
        (b'{"a":' + b"[" * 100_000, "nested over 64 levels"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested over 64 levels"),
        (b'{"a":' + b"[]" * 100 + b"}", "not valid JSON"),
        (b'{"a":' + b"]" * 100 + b"[" * 65, "nested over 64 levels"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body, says):
    with pytest.raises(InvalidRequest, match=says) as refused:
        cut(body, depth=64)
    assert refused.value.status == 400


def test_recursion_that_the_depth_limit_lets_through_is_refused_too():
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        cut(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", depth=1_000_000)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"' + b"x[y" * 700_000 + b'"}',
        b'{"a":"' + b'\\"[' * 700_000,  # a string that never ends
        b'{"a":[' + b"[]," * 700_000 + b"[]]}",
        b"\\" * 2_000_000 + b"[" * 100,
    ],
    ids=["text with brackets", "endless string", "many lists", "backslashes"],
)
def test_a_hostile_body_costs_no_more_than_its_length(body):
    tracemalloc.start()
    began = time.process_time()
    with suppress(InvalidRequest):
        cut(body, depth=64)
    spent = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 5  # under a tenth of a second here; quadratic work took minutes
    assert peak < 30 * len(body)
