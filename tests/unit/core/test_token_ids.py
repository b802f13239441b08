import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.token_ids import count_lists

ids = st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 9), min_size=1, max_size=5)


@settings(deadline=None)
@given(ids=ids, indent=st.sampled_from([None, 1]))
def test_a_list_of_ids_is_recognised(ids, indent):
    assert count_lists(json.dumps(ids, indent=indent).encode()) == 0


@settings(deadline=None)
@given(lists=st.lists(ids, min_size=1), indent=st.sampled_from([None, 1]))
def test_lists_of_ids_are_counted(lists, indent):
    assert count_lists(json.dumps(lists, indent=indent).encode()) == len(lists)


@pytest.mark.parametrize(
    ("text", "lists"), [("[5.0]", 0), ("[ 5 , 6.0 , 7.0 ]", 0), ("[[5.0], [6,7.0\n]]", 2)]
)
def test_ids_may_be_written_as_whole_floats(text, lists):
    assert count_lists(text.encode()) == lists


@pytest.mark.parametrize(
    "text",
    [
        "[]", "[ ]", "[[]]", "[[1],[]]", "[[],[1]]", "[[[1]]]", "[1,[2]]", "[[1],2]",
        "[[1],[2],3]", "[-1]", "[1.5]", "[1.05]", "[1.0,2.5]", "[1.0,[2.0]]", "[1e3]",
        "[true]", "[null]", '["1"]', "[{}]", "{}", "5",
        '"5"', "true", "[2147483648]", "[[1],[4294967296]]", "[12345678901]",
    ],
)  # fmt: skip
def test_anything_else_is_told_apart(text):
    json.loads(text)
    assert count_lists(text.encode()) is None
