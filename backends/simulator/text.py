"""Text to tokens and back, and generated text that shows a lost, doubled or changed token.

Generated text is a chain: each word follows from the three before it and from its position, so
a reader with the text alone can check it (`find_break`). Everything here is the same in every
process and for ever: tests and recorded transcripts rely on it.
"""

import codecs
import hashlib
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random

from backends.simulator.vocabulary import (
    FIRST_WORD,
    FORMS,
    IDS,
    TOKENS,
    WORDS,
    word_token,
)

EOS = 128_009
"""Id of the end-of-sequence token; it has no text, and no text has it."""

SENTENCE_TOKENS = 16
_FULL_STOP = IDS[b"."]
_ARROW = "→".encode()
_ARROW_PERIOD = 64
_ARROW_AT = 40
"""At these positions stands an arrow, one token per byte: readers meet incomplete UTF-8."""
_FREE_WORDS = 3
"""Words at the start that come from prompt and seed; the others follow from these."""
_LONGEST_TOKEN = max(map(len, TOKENS))
_PIECE = re.compile(rb" ?[A-Za-z]+|[0-9]{1,3}| {2,16}|\n{2,4}|.", re.DOTALL)
_U32 = 0xFFFF_FFFF


def tokenize(text: str) -> list[int]:
    """Return token ids, about one per 4 characters of English; `detokenize` is the inverse.

    Lone surrogates, which are no text, are taken too and come back as U+FFFD.
    """
    tokens: list[int] = []
    for piece in _PIECE.findall(text.encode("utf-8", "surrogatepass")):
        token = IDS.get(piece)
        if token is None:
            tokens += _split(piece)
        else:
            tokens.append(token)
    return tokens


def detokenize(tokens: Sequence[int]) -> str:
    """Return the text of ``tokens``; incomplete UTF-8 becomes U+FFFD."""
    return b"".join(map(spelling, tokens)).decode("utf-8", "replace")


def spelling(token: int) -> bytes:
    """Return the bytes of one token, perhaps a part of a character.

    Clients may send ids of a larger vocabulary as a prompt: those wrap around.
    """
    return b"" if token == EOS else TOKENS[token % len(TOKENS)]


class Detokenizer:
    """Turns tokens into text as they come, holding back incomplete UTF-8."""

    __slots__ = ("_decode",)

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, tokens: Sequence[int]) -> str:
        """Return the text that ``tokens`` completed; may be empty."""
        return self._decode(b"".join(map(spelling, tokens)))

    def finish(self) -> str:
        """Return what was held back: empty, or U+FFFD if the text ended inside a character."""
        return self._decode(b"", final=True)


def choose_seed(seed: int | None, temperature: float | None, rng: Random) -> int:
    """Return the request's seed; without one, 0 where decoding is greedy, else a random one.

    Temperature 0 and None are greedy.
    """
    if seed is not None:
        return seed
    return rng.getrandbits(32) if temperature else 0


def generate(prompt: Sequence[int], seed: int = 0, index: int = 0) -> Iterator[int]:
    """Yield for ever the token ids of sequence ``index``; equal arguments give equal tokens."""
    digest = _digest(prompt, seed, index)
    free = [int.from_bytes(digest[i : i + 4]) % len(WORDS) for i in (0, 4, 8)]
    return _chain(free)


def natural_length(prompt: Sequence[int], seed: int = 0, index: int = 0) -> int:
    """Return the tokens after which the sequence ends by itself: 4 to 19 sentences."""
    return SENTENCE_TOKENS * (4 + _digest(prompt, seed, index)[12] % 16)


def find_break(text: str) -> int | None:
    """Return the position of the first token of a generated text that does not follow.

    None when the text is whole so far; a text that merely stops early is whole. A token of a
    cut character at its very end, U+FFFD, is left out.
    """
    found = tokenize(text.removesuffix("\ufffd"))
    free = []
    for position, token in enumerate(found[:_FREE_WORDS]):
        if not _is_word(token, position):
            return position
        free.append((token - FIRST_WORD) // FORMS)
    expected = _chain(free + [0] * (_FREE_WORDS - len(free)))
    for position, (token, wanted) in enumerate(zip(found, expected, strict=False)):
        if token != wanted:
            return position
    return None


def top_logprobs(token: int, position: int, count: int) -> list[tuple[int, float]]:
    """Return ``count`` ids with log probabilities, best first, the chosen ``token`` first.

    ``count`` is at least 1 and counts the chosen one; the probabilities sum to less than 1.
    """
    noise = _mix(token, position, 0, 0)
    logprob = -(5 + noise % 690) / 1000
    ranked = [(token, logprob)]
    rest = math.log1p(-math.exp(logprob))
    candidate = noise % len(WORDS)
    while len(ranked) < count:
        other = word_token(candidate, capital=False, spaced=True)
        if other != token:
            ranked.append((other, rest - len(ranked) * math.log(2)))
        candidate = (candidate + 1) % len(WORDS)
    return ranked


def _chain(free: list[int]) -> Iterator[int]:
    a, b, c = free
    position = 0
    while True:
        in_sentence = position % SENTENCE_TOKENS
        arrow = position % _ARROW_PERIOD - _ARROW_AT
        if in_sentence == SENTENCE_TOKENS - 1:
            yield _FULL_STOP
        elif 0 <= arrow < len(_ARROW):
            yield _ARROW[arrow]
        else:
            word = (
                free[position]
                if position < _FREE_WORDS
                else _mix(a, b, c, position) % len(WORDS)
            )
            a, b, c = b, c, word
            yield FIRST_WORD + word * FORMS + (2 if not in_sentence else 0) + (position > 0)
        position += 1


def _is_word(token: int, position: int) -> bool:
    """Say whether ``token`` is a word in the form that the first words of a text have."""
    form = 2 * (position == 0) + (position > 0)
    return (
        FIRST_WORD <= token < FIRST_WORD + len(WORDS) * FORMS
        and (token - FIRST_WORD) % FORMS == form
    )


def _mix(a: int, b: int, c: int, position: int) -> int:
    mixed = (
        a * 0x9E37_79B1 + b * 0x85EB_CA6B + c * 0xC2B2_AE35 + position * 0x27D4_EB2F
    ) & _U32
    mixed = (mixed ^ mixed >> 15) * 0x2C1B_3C6D & _U32
    return mixed ^ mixed >> 12


def _digest(prompt: Sequence[int], seed: int, index: int) -> bytes:
    digest = hashlib.blake2b(f"{seed} {index}".encode(), digest_size=16)
    digest.update(array("q", prompt).tobytes())
    return digest.digest()


@lru_cache(maxsize=1 << 16)
def _split(piece: bytes) -> tuple[int, ...]:
    """Cut a piece that is no token itself, always taking the longest token that fits."""
    tokens = []
    start = 0
    while start < len(piece):
        end = min(len(piece), start + _LONGEST_TOKEN)
        while piece[start:end] not in IDS:
            end -= 1
        tokens.append(IDS[piece[start:end]])
        start = end
    return tuple(tokens)
