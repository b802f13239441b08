import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.core.relabel import relabelled

values = st.none() | st.integers() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.text(), values), st.dictionaries(st.text(), values))
def test_only_the_fields_that_are_there_get_other_values(fields, changes):
    encoded = {name: json.dumps(value).encode() for name, value in changes.items()}
    for text in (json.dumps(fields).encode(), Raw(json.dumps(fields).encode())):
        got = json.loads(relabelled(text, encoded))
        assert got == fields | {k: v for k, v in changes.items() if k in fields}
        assert list(got) == list(fields)


def test_what_is_not_changed_stays_as_it_was_written():
    text = b'{"a":1.50, "b":{ "id":"x" },"id":"x"}'
    assert relabelled(text, {"id": b'"y"'}) == b'{"a":1.50,"b":{ "id":"x" },"id":"y"}'
