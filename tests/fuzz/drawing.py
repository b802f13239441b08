"""Inputs for a target, as hypothesis draws them: sound ones with something done to them."""

from hypothesis import strategies as st

from tests.fuzz.target import Target

_LONGEST_CUT = 60


@st.composite
def inputs(draw: st.DrawFn, target: Target) -> bytes:
    """Draw a seed, and a few edits to it: bytes taken out, put in, said again, or another."""
    data = draw(st.sampled_from(target.seeds))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        rest = len(data) - begin
        end = begin + min(rest, draw(st.integers(0, _LONGEST_CUT) | st.just(rest)))
        again = data[begin:end]
        new = draw(
            st.one_of(
                st.sampled_from(target.words),
                st.sampled_from([b"", again + again]),
                st.binary(max_size=6),
                st.sampled_from(target.seeds).map(lambda seed, at=begin: seed[at:]),
            )
        )
        data = data[:begin] + new + data[end:]
    return data
