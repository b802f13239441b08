"""What a fuzz target is: one function of any bytes that fails when a law is broken.

The same function is run by hypothesis in the tests, by atheris for ten minutes at a time, and
over every input that was ever kept. So it must be quick, pure and quiet: it prints nothing,
keeps nothing between two calls, and raises for nothing but a broken law.
"""

import random
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
_BYTE_BY_BYTE = 400
"""Up to this, an input is also read one byte at a time."""


@dataclass(frozen=True)
class Target:
    """One group of parsers and their laws."""

    name: str
    one: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    """What mutation starts from: sound inputs, and some that are all but sound."""
    words: tuple[bytes, ...]
    """What the formats are made of."""

    @property
    def corpus_file(self) -> Path:
        """What a long run found worth keeping: an input a line, in base 64."""
        return FOLDER / "corpus" / f"{self.name}.b64"

    @property
    def findings_folder(self) -> Path:
        """Inputs that broke a law once, each a file."""
        return FOLDER / "findings" / self.name

    def corpus(self) -> list[bytes]:
        """Return the inputs that were kept, seeds first."""
        kept = self.corpus_file.read_bytes().split() if self.corpus_file.exists() else []
        return [*self.seeds, *map(b64decode, kept)]

    def keep(self, inputs: Iterator[bytes]) -> None:
        """Write the corpus anew, shortest inputs first."""
        found = sorted(set(inputs) - set(self.seeds), key=lambda data: (len(data), data))
        self.corpus_file.parent.mkdir(exist_ok=True)
        self.corpus_file.write_bytes(b"".join(b64encode(data) + b"\n" for data in found))

    def findings(self) -> list[Path]:
        """Return the files of what broke a law."""
        return sorted(self.findings_folder.glob("*"))


def splits(data: bytes, seed: int) -> Iterator[list[bytes]]:
    """Yield ways to cut ``data``: each byte by itself, if it is short, and as ``seed`` says."""
    if len(data) <= _BYTE_BY_BYTE:
        yield [data[at : at + 1] for at in range(len(data))]
    cuts = random.Random(seed)
    places = sorted(cuts.randrange(len(data) + 1) for _ in range(1 + seed % 7))
    ends = [0, *places, len(data)]
    yield [data[begin:end] for begin, end in pairwise(ends) if begin < end]
