import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.core.body import cut, cut_steps
from gateway.core.splice import splice
from gateway.core.steps import finish
from tests.unit.core.json_texts import bodies, names, values

edits = st.dictionaries(
    st.sampled_from(["a", "bb", "model"]), st.none() | values.map(str.encode), max_size=3
)
inserted = st.lists(values.map(lambda value: b'"new":' + value.encode()), max_size=2)


def spliced(body, made, more=()):
    return b"".join(splice(body, made, more))


def fields_of(body):
    """Say of each field how it is written up to its value, and the value."""
    return [
        (name, body.data[opens + 1 : begin].lstrip(), body.data[begin:end])
        for name, opens, begin, end in body.places()
    ]


@settings(deadline=None)
@given(
    drawn=bodies(names=names(), min_size=1),
    made=edits,
    more=inserted,
    long=st.booleans(),
    outlined=st.booleans(),
)
def test_only_what_is_edited_changes(drawn, made, more, long, outlined):
    wire, fields = drawn
    wire += b" " * 20_000 * long  # which goes out in pieces
    body = finish(cut_steps(wire, depth=99, at_once=0 if outlined else 1 << 20))
    made = {name: new for name, new in made.items() if name in body.fields}
    stays = [name for name, *_ in fields if made.get(name, b"") is not None]
    assume(stays)
    before = fields_of(body)
    out = spliced(body, made, more)
    after = fields_of(cut(out, depth=99))
    new = [("new", b'"new":', field.partition(b":")[2]) for field in more]
    expected = [
        (name, written, made.get(name) or value)
        for name, written, value in before
        if made.get(name, b"") is not None
    ]
    assert after == expected + new
    assert (out == wire) == (not new and expected == before)


@settings(deadline=None)
@given(drawn=bodies(names=names(), min_size=1), made=edits)
def test_replacing_values_leaves_every_byte_around_them(drawn, made):
    wire, fields = drawn
    body = cut(wire, depth=99)
    made = {name: new for name, new in made.items() if name in body.fields and new}
    expected = wire
    for name, begin, end in reversed(fields):
        if name in made:
            expected = expected[:begin] + made[name] + expected[end:]
    assert spliced(body, made) == expected


@pytest.mark.parametrize(
    ("wire", "made", "out"),
    [
        (b'{"a":1,"b":2}', {"a": None}, b'{"b":2}'),
        (b'{"a":1,"b":2}', {"b": None}, b'{"a":1}'),
        (b'{ "a" : 1 , "b" : 2 }', {"a": None}, b'{  "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 }', {"b": None}, b'{ "a" : 1  }'),
        (b'{"a":1,"b":2,"a":3,"c":4}', {"a": None}, b'{"b":2,"c":4}'),
        (b'{"a":1,"b":2,"a":3,"c":4}', {"a": None, "b": None}, b'{"c":4}'),
        (b'{"a":1,"b":2,"a":3,"c":4}', {"a": b"9"}, b'{"a":9,"b":2,"a":9,"c":4}'),
        (b'{"\\u0061": 1,"b":2e0}', {"a": b"9"}, b'{"\\u0061": 9,"b":2e0}'),
    ],
)
def test_how_fields_go_and_change(wire, made, out):
    assert spliced(cut(wire, depth=9), made) == out


def test_without_a_change_the_very_same_body_goes_out():
    wire = b'{"a":1}'
    (piece,) = splice(cut(wire, depth=9), {}, [])
    assert piece is wire


def test_a_long_body_is_not_copied():
    wire = b'{"a":1,"prompt":"%b","b":2,"c":3}' % (b"x" * (1 << 21))
    pieces = splice(cut(wire, depth=9), {"a": b"9", "b": None}, [b'"d":4'])
    assert json.loads(b"".join(pieces)) == {"a": 9, "prompt": "x" * (1 << 21), "c": 3, "d": 4}
    assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) < 20
    assert all(piece.obj is wire for piece in pieces if isinstance(piece, memoryview))
    assert all(pieces)


def test_a_short_body_is_one_piece():
    assert len(splice(cut(b'{"a":1,"b":2}', depth=9), {"a": b"3"}, [b'"c":4'])) == 1
