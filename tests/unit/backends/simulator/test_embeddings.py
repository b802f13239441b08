"""Vectors are unit vectors that depend on the tokens alone."""

import math

from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.embeddings import SIZE, vector

tokens = st.lists(st.integers(-(2**40), 2**40), max_size=50)


@given(tokens)
def test_a_vector_is_of_length_one_and_always_the_same(tokens):
    numbers = vector(tokens)
    assert len(numbers) == SIZE
    assert math.isclose(math.hypot(*numbers), 1, abs_tol=1e-5)
    assert numbers == vector(tuple(tokens))


@given(tokens, tokens)
def test_different_inputs_point_in_different_directions(one, other):
    product = sum(a * b for a, b in zip(vector(one), vector(other), strict=True))
    assert (product > 0.99) is (one == other)
