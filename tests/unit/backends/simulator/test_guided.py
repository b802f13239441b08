"""Values made from a schema obey it."""

import pytest

from backends.simulator.guided import sample


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "some value"),
        ({"type": "string", "minLength": 14}, "some valuexxxx"),
        ({"type": "string", "maxLength": 4}, "some"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 4}, 4),
        ({"type": "integer", "exclusiveMinimum": 4}, 5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "number", "minimum": 1}, 1.0),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, 0),
        ({"type": []}, None),
        ({"type": "unheard-of"}, None),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array"}, ["some value"]),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 0}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": 3}}}, 3),
        ({"$ref": "#/$defs/none"}, "some value"),
        ({"$ref": "http://elsewhere"}, "some value"),
    ],
)
def test_values_obey(schema, value):
    assert sample(schema) == value


def test_strings_are_named_after_their_property():
    assert sample({"properties": {"city": {"type": "string"}}}) == {"city": "some city"}


def test_a_schema_of_itself_ends_somewhere():
    node = {"properties": {"next": {"$ref": "#/$defs/n"}}, "required": ["next"]}
    value, depth = sample({"$defs": {"n": node}, "$ref": "#/$defs/n"}), 0
    while value is not None:
        value, depth = value["next"], depth + 1
    assert 10 < depth < 20


def test_what_is_optional_is_left_out_deep_down():
    node = {"properties": {"left": {"$ref": "#/$defs/n"}, "right": {"$ref": "#/$defs/n"}}}
    value = sample({"$defs": {"n": node}, "$ref": "#/$defs/n"})
    assert value["left"]["right"]["left"]["right"] == {}
