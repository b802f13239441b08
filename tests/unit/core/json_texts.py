"""JSON in all the ways that it can be written, as strategies of hypothesis."""

import json

from hypothesis import strategies as st

WHITE = " \t\r\n"
ESCAPES = ["\\n", "\\/", "\\\\", '\\"', "\\u00e9", "\\u0041", "\\ud83d\\ude00", "\\b"]
PLAIN = ["a", "role", " ", ",", ":", "[", "]", "{", "}", "é", "漢", "😀", "0", "\u2028"]
NUMBERS = [
    "0",
    "-0",
    "7",
    "12345",
    "-1.50e+05",
    "1E2",
    "0.000",
    "123456789012345678901234567890",
]

white = st.text(WHITE, max_size=3)
characters = st.sampled_from(ESCAPES + PLAIN)
strings = st.lists(characters, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
long_strings = st.builds(
    lambda parts, times: '"' + "".join(parts) * times + '"',
    st.lists(characters, min_size=1, max_size=5),
    st.sampled_from([1, 20, 200, 700]),
)
id_lists = st.builds(
    lambda ids, between, times: "[" + between.join([*ids] * times) + "]",
    st.lists(
        st.sampled_from(["1", "22", "123456789", "1234567890", "0"]), min_size=1, max_size=4
    ),
    st.sampled_from([",", ", ", " ,\n"]),
    st.sampled_from([1, 40, 400]),
)
scalars = (
    st.sampled_from(["null", "true", "false", *NUMBERS]) | strings | long_strings | id_lists
)


@st.composite
def lists(draw, inner):
    items = draw(st.lists(inner, max_size=3))
    return (
        "[" + ",".join(draw(white) + each + draw(white) for each in items) + draw(white) + "]"
    )


@st.composite
def inner_objects(draw, inner):
    pairs = draw(st.lists(st.tuples(strings, inner), max_size=3))
    fields = [draw(white) + name + ":" + draw(white) + each for name, each in pairs]
    return "{" + ",".join(fields) + draw(white) + "}"


values = st.recursive(scalars, lambda inner: lists(inner) | inner_objects(inner), max_leaves=6)


def spelled(name, odd):
    """Write ``name`` as a JSON string, with escapes where ``odd`` says so."""
    return (
        '"'
        + "".join(f"\\u{ord(c):04x}" if o else c for c, o in zip(name, odd, strict=False))
        + '"'
    )


@st.composite
def names(draw, of=("a", "bb", "model")):
    name = draw(st.sampled_from(of))
    odd = draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    return spelled(name, odd)


any_names = names() | strings


@st.composite
def bodies(draw, *, names=any_names, values=values, min_size=0, max_size=6):
    """Draw an object as bytes, with each field's name and where its value stands in them."""
    text, fields = draw(white) + "{", []
    for number in range(draw(st.integers(min_size, max_size))):
        name, value = draw(names), draw(values)
        text += "," * (number > 0) + draw(white) + name + draw(white) + ":" + draw(white)
        begin = len(text.encode())
        text += value
        fields.append((json.loads(name), begin, len(text.encode())))
        text += draw(white)
    return (text + draw(white) + "}" + draw(white)).encode(), fields
