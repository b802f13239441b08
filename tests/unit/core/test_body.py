import json
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.body import AT_ONCE_BYTES, MOST_FIELDS, cut, cut_steps
from gateway.core.errors import InvalidRequest
from gateway.core.steps import finish
from gateway.core.windows import MOST_CONTAINERS, WINDOW_BYTES
from tests.unit.core.json_texts import bodies

numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
windows = st.integers(20, 3000)


def nesting(value):
    if isinstance(value, dict):
        return 1 + max(map(nesting, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(nesting, value), default=0)
    return 0


def outlined(wire, window, depth=64):
    return finish(cut_steps(wire, depth=depth, at_once=0, window=window))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_cut_or_refused_with_a_reason(body):
    with suppress(InvalidRequest):
        cut(body, depth=8)


@settings(deadline=None)
@given(body=st.dictionaries(st.text(), values), ascii_only=st.booleans())
def test_an_object_is_cut_into_its_fields_unchanged(body, ascii_only):
    try:
        wire = json.dumps(body, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # half a surrogate pair cannot be sent raw
        return
    fields = cut(wire, depth=99).fields
    assert {name: json.loads(bytes(raw)) for name, raw in fields.items()} == body


def check_places(body, wire, fields):
    assert [(name, begin, end) for name, _, begin, end in body.places()] == fields
    for name, opens, begin, _ in body.places():
        assert wire[opens : opens + 1] in {b"{", b","}
        assert json.loads(wire[opens + 1 : begin].strip(b" \t\r\n:")) == name
    last = {name: wire[begin:end] for name, begin, end in fields}
    assert {name: bytes(body.value(name)) for name in body.fields} == last


@settings(deadline=None)
@given(drawn=bodies(), more=st.sampled_from([0, 5000]))
@example(drawn=(b'{"a":1,"a":2,"b":3}', [("a", 5, 6), ("a", 11, 12), ("b", 17, 18)]), more=0)
@example(drawn=(b'{"a":1,"\\u0061":2}', [("a", 5, 6), ("a", 16, 17)]), more=0)
def test_each_field_is_known_by_the_place_where_it_stands(drawn, more):
    wire, fields = drawn
    wire += b" " * more  # longer ones are read in another way
    body = cut(wire, depth=64)
    assert body.text is wire
    check_places(body, wire, fields)
    assert {name: bytes(raw) for name, raw in body.fields.items()} == {
        name: wire[begin:end] for name, begin, end in fields
    }


@settings(deadline=None)
@given(drawn=bodies(), window=windows)
def test_each_field_of_a_long_body_is_known_by_its_place_too(drawn, window):
    wire, fields = drawn
    check_places(outlined(wire, window), wire, fields)


@settings(deadline=None)
@given(body=st.dictionaries(st.text(alphabet='a"\\[]{}', max_size=9), values, max_size=3))
def test_exactly_the_bodies_nested_too_deep_are_refused_as_such(body):
    wire, deep = json.dumps(body).encode(), nesting(body)
    for more in (b"", b" " * 5000):
        assert set(cut(wire + more, depth=deep).fields) == set(body)
        assert set(outlined(wire + more, 50, depth=deep).fields) == set(body)
        if deep > 1:
            with pytest.raises(InvalidRequest, match=f"nested over {deep - 1} levels deep"):
                cut(wire + more, depth=deep - 1)
            with pytest.raises(InvalidRequest, match=f"nested over {deep - 1} levels deep"):
                outlined(wire + more, 50, depth=deep - 1)


def test_of_repeated_names_the_last_counts():
    body = cut(b'{"a":1,"a":2}', depth=9)
    assert bytes(body.fields["a"]) == bytes(body.value("a")) == b"2"
    assert body.count("a") == 2


@pytest.mark.parametrize("at_once", [AT_ONCE_BYTES, 0], ids=["at once", "outlined"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b" " * 9000, "is empty"),
        (b"[1]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":1', "not valid JSON"),
        (b'{"a":"\\q"}', "not valid JSON"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"a":01}', r"not valid JSON: .* \(byte 6\)"),
        (b'{"a":"%b","b":01}' % (b"x" * 9000), r"not valid JSON: .* \(byte 9013\)"),
        (b'{"a":"%b\\q"}' % (b"x" * 9000), r"not valid JSON: .* \(byte 9007\)"),
        (b'{"a":1,\xef\xbb\xbf"b":1}', "not valid JSON"),
        (b"\xef\xbb\xbf", "the request body is empty"),
        (b'{"a":"\xff"}', "not UTF-8: invalid start byte at byte 6"),
        (b'{"a":"' + "é".encode() * 600_000 + b'\xc3"}', "at byte 1200006"),
        (b'{"a":"\xc3', "not UTF-8: unexpected end of data at byte 6"),
        (b'{"a":' + b"[" * 100_000, "nested over 64 levels"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested over 64 levels"),
        (b'{"a":' + b"[]" * 100 + b"}", "not valid JSON"),
        (b'{"a":[' + b"[]," * MOST_CONTAINERS + b"[]]}", "over 131072 objects and lists"),
        (b"{" + b'"a":1,' * MOST_FIELDS + b'"a":1}', "has over 1024 fields"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body, says, at_once):
    with pytest.raises(InvalidRequest, match=says) as refused:
        finish(cut_steps(body, depth=64, at_once=at_once))
    assert refused.value.status == 400


def test_as_many_fields_as_are_allowed_are_read():
    body = cut(b"{" + b'"a":1,' * (MOST_FIELDS - 1) + b'"b":1}', depth=9)
    assert body.count("a") + body.count("b") == MOST_FIELDS


def test_recursion_that_the_depth_limit_lets_through_is_refused_too():
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        cut(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", depth=1_000_000)


def steps_of(body):
    steps, count = cut_steps(body, depth=64), 0
    with suppress(StopIteration, InvalidRequest):
        while True:
            count += 1
            next(steps)
    return count


MIB = 1 << 20
LONG = {
    "text": b'{"a":"' + b"word " * (3 * MIB // 5) + b'"}',
    "escapes": b'{"a":"' + b'\\"' * (3 * MIB // 2) + b'"}',
    "surrogates": b'{"a":"' + b"\\ud83d\\ude00" * (3 * MIB // 12) + b'"}',
    "backslashes": b'{"a":"' + b"\\" * (3 * MIB) + b'"}',
    "token ids": b'{"a":[' + b"12345," * (3 * MIB // 6) + b"1]}",
    "white space": b'{"a":' + b" " * (3 * MIB) + b"1}",
    "messages": b'{"a":['
    + b'{"role":"user"},' * 60_000
    + b'{}],"b":"'
    + b"x" * 2 * MIB
    + b'"}',
}


@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_a_long_body_is_read_in_steps_and_what_is_decoded_at_once_is_short(body):
    # Of two windows that follow each other, none is much longer than the other.
    assert steps_of(body) >= len(body) // (WINDOW_BYTES + 64)
    assert len(cut(body, depth=64).text) < MIB


def test_a_prompt_of_1_mib_is_decoded_as_it_is():
    wire = b'{"a":"' + b"x" * MIB + b'"}'
    assert steps_of(wire) == 1
    assert cut(wire, depth=64).outline is None
