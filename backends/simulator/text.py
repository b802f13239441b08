"""Text to token ids and back, and generated text that shows when a token was lost, doubled or changed."""

from collections.abc import Iterator, Sequence
from random import Random

EOS = 128_009
"""Id of the end-of-sequence token; no text contains it."""


def tokenize(text: str) -> list[int]:
    """Return token ids; about 4 characters of English each. ``detokenize`` gives ``text`` back exactly."""
    ...


def detokenize(tokens: Sequence[int]) -> str:
    """Return the text of ``tokens``; incomplete UTF-8 becomes U+FFFD."""
    ...


class Detokenizer:
    """Turns tokens into text as they come, holding back incomplete UTF-8."""

    def feed(self, tokens: Sequence[int]) -> str:
        """Return the text that ``tokens`` completed; may be empty."""
        ...

    def finish(self) -> str:
        """Return what was held back: empty, or U+FFFD when the text ended inside a character."""
        ...


def choose_seed(seed: int | None, temperature: float | None, rng: Random) -> int:
    """Return the request's seed; without one, 0 for greedy decoding (temperature 0 or None), else random."""
    ...


def generate(prompt: Sequence[int], seed: int = 0, index: int = 0) -> Iterator[int]:
    """Yield for ever the token ids of sequence ``index``; the same arguments give the same tokens."""
    ...


def natural_length(prompt: Sequence[int], seed: int = 0, index: int = 0) -> int:
    """Return the tokens after which the sequence ends by itself unless ``ignore_eos`` is set."""
    ...


def find_break(text: str) -> int | None:
    """Return the position of the first token of a generated text that does not follow from those before; None if whole."""
    ...


def top_logprobs(token: int, position: int, count: int) -> list[tuple[int, float]]:
    """Return ``count`` (at least 1) token ids with log probabilities, best first; the chosen ``token`` is the first."""
    ...
