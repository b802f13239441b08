import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.body import cut_steps
from gateway.core.errors import InvalidRequest
from gateway.core.outline import MOST_VALUES, outline_steps
from gateway.core.steps import finish
from tests.unit.core.json_texts import bodies

windows = st.integers(20, 3000)
IDS = b"1,22," * 40


def outline(body, window=1 << 16):
    return finish(outline_steps(body, depth=99, window=window))


def is_valid(body):
    try:
        body.decode()
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (UnicodeDecodeError, msgspec.DecodeError):
        return False
    return True


def survives(body, window):
    try:
        finish(cut_steps(body, depth=99, at_once=0, window=window))
    except InvalidRequest:
        return False
    return True


@st.composite
def spoilt(draw):
    """Draw a body with something in it changed, so that it may be JSON no more."""
    wire, _ = draw(bodies(min_size=1))
    begin = draw(st.integers(0, len(wire)))
    end = min(len(wire), begin + draw(st.integers(0, 3)))
    odd = draw(st.lists(st.sampled_from([*b'{}[],:"\\0a \n\x01']), max_size=3))
    return wire[:begin] + bytes(odd) + wire[end:]


@settings(deadline=None)
@given(body=spoilt(), window=windows)
@example(body=b'{"a":1,' + IDS + b'"b":2}', window=3000)
@example(body=b'{"a":[1 ' + IDS + b"2]}", window=3000)
@example(body=b'{"a":[1,' + IDS + b"]}", window=3000)
@example(body=b'{"a":[0' + IDS + b"2]}", window=3000)
@example(body=b'{"a":1' + b" " * 80 + b"2}", window=3000)
@example(body=b'{"a":[-' + IDS + b"2]}", window=3000)
@example(body=b'{"a":[1.' + IDS + b"2]}", window=3000)
@example(body=b'{"a":[1' + b"," * 99 + b"2]}", window=3000)
@example(body=b'{"a":["' + b"x" * 70 + b'\\","b"]}', window=3000)
@example(body=b'{"a":[\\"' + b"x" * 70 + b'"]}', window=3000)
@example(body=b'{"a":{"' + b"x" * 70 + b'":{"' + b"\\ud83d" * 20 + b'":1}}}', window=3000)
def test_an_outline_can_be_decoded_exactly_if_the_body_can(body, window):
    assert survives(body, window) == is_valid(body)


@settings(deadline=None)
@given(tail=st.lists(st.sampled_from(["\\\\", "\\ud83d\\ude00", "\\u00e9", "\\n", "a", "é"])))
@example(tail=["\\\\"] * 9)
@example(tail=["a"] + ["\\ud83d\\ude00"] * 9)
@example(tail=["\\\\", "\\ud83d\\ude00"] * 9)
@example(tail=["é"] * 30)
def test_a_window_ends_within_no_character_and_no_escape(tail):
    body = f'{{"a":["{"".join(tail * 20)}"]}}'.encode()
    for window in range(70, 90):
        assert survives(body, window)
        outline(body, window).text.decode()


def name_shape(name):
    plain = name.replace("\\", "..").replace('"', "..")
    return "long" if plain == "." or len(plain) > 4 else plain


class Object(list):
    """Pairs: of names that repeat, all are kept."""


def shape(value, *, deep=True):
    """Return what the gateway looks at, in a form that leaving out does not change."""
    match value:
        case Object():
            return {"object": [(name_shape(name), shape(each)) for name, each in value]}
        case list():
            kinds = ["id" if type(each) is int else shape(each) for each in value]
            return [a for a, b in pairwise([*kinds, None]) if (a, b) != ("id", "id")]
        case str():
            return "text" if deep or len(value) > 512 else value
    return value


def fields_of(text):
    pairs = json.loads(text, object_pairs_hook=Object)
    return [(name, shape(each, deep=False)) for name, each in pairs]


@settings(deadline=None)
@given(drawn=bodies(), window=windows)
def test_an_outline_has_the_fields_and_the_shape_of_the_body(drawn, window):
    wire, _ = drawn
    assert fields_of(outline(wire, window).text) == fields_of(wire)


LONG = {
    "a string": b'{"a":"' + b"x" * 9000 + b'"}',
    "a string of escapes": b'{"a":"' + b'\\"' * 5000 + b'"}',
    "a string deep inside": b'{"a":[["' + b"x" * 9000 + b'"]]}',
    "token ids": b'{"a":[' + b"12345," * 5000 + b"1]}",
    "token ids apart": b'{"a":[' + b"12345,  " * 5000 + b"1]}",
    "white space": b'{"a":' + b" " * 5000 + b"1}",
}


@pytest.mark.parametrize("body", LONG.values(), ids=LONG)
def test_what_is_long_is_left_out(body):
    assert len(outline(body).text) < 600
    assert type(json.loads(outline(body).text)["a"]) is type(json.loads(body)["a"])


@pytest.mark.parametrize("character", ["m", "é", "\\u00e9", "\\ud83d\\ude00"])
def test_a_name_that_is_not_too_long_is_never_left_out(character):
    body, longer = (f'{{"model":"{character * n}"}}'.encode() for n in (512, 9000))
    assert outline(body).text == body
    assert len(json.loads(outline(longer).text)["model"]) > 512


def test_deep_inside_even_short_texts_are_left_out():
    body = (
        b'{"a":[' + b'{"role":"user","content":"%b"},' % (b"so\\n" * 40) * 100 + b'{}],"b":1}'
    )
    left = outline(body, window=1000).text
    assert len(left) < len(body) / 3
    assert [*map(len, json.loads(left)["a"])] == [2] * 100 + [0]


def test_numbers_that_are_no_token_ids_stay():
    body = b'{"a":[' + b"1234567890," * 50 + b"1]}"
    assert outline(body).text == body


def test_a_body_of_too_many_values_is_refused():
    with pytest.raises(InvalidRequest, match="over 262144 values") as refused:
        outline(b'{"a":[' + b'"",' * (MOST_VALUES + 1) + b'""]}')
    assert refused.value.status == 400
    outline(b'{"a":[' + b'"",' * MOST_VALUES + b'""]}')
    outline(b'{"a":[' + b"1," * 4 * MOST_VALUES + b"1]}")
