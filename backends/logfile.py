"""A replica's log: one file that it appends to, read by others while it grows.

A file and no pipe: a pipe would die with the gateway and take the replica with it. The writer
keeps its descriptor, so rotation copies the file and empties it in place.
"""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

ROTATE_BYTES = 64 * 2**20
_TAIL_BYTES = 2**20
_LINE_BYTES = 64 * 1024
"""Longer lines are cut: output without line ends must not fill the memory."""
_ENDS = re.compile(rb"[\r\n]+")


def rotate(path: Path, *, limit_bytes: int = ROTATE_BYTES) -> bool:
    """Copy a log past ``limit_bytes`` to ``<name>.1`` and empty it; say whether it was needed.

    What is written between the two is lost: the price of a writer that is not asked.
    """
    if not path.exists() or path.stat().st_size <= limit_bytes:
        return False
    shutil.copyfile(path, older(path))
    os.truncate(path, 0)
    return True


def older(path: Path) -> Path:
    """Return where `rotate` puts what was written before."""
    return path.with_name(f"{path.name}.1")


@dataclass(slots=True)
class LogReader:
    """Reads the lines that are added to a log."""

    path: Path
    offset: int = 0
    _partial: bytes = field(default=b"", init=False)

    def new_lines(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self.offset:  # rotated
                    self.offset = 0
                file.seek(self.offset)
                data = file.read(_TAIL_BYTES)
        except FileNotFoundError:
            return []
        self.offset += len(data)
        *lines, self._partial = _ENDS.split(self._partial + data)
        if len(self._partial) > _LINE_BYTES:
            lines, self._partial = [*lines, self._partial], b""
        return [_text(line) for line in lines if line]

    def rest(self) -> list[str]:
        """Return the line without an end that stands last, if any."""
        line, self._partial = self._partial, b""
        return [_text(line)] if line else []


def tail(path: Path, count: int) -> tuple[list[str], LogReader]:
    """Return the last ``count`` complete lines, and a reader that goes on behind them."""
    size = path.stat().st_size if path.exists() else 0
    reader = LogReader(path, max(0, size - _TAIL_BYTES))
    cut = reader.offset > 0
    lines = reader.new_lines()[1 if cut else 0 :]
    if len(lines) < count and not cut and older(path).exists():
        before, _ = tail(older(path), count - len(lines))
        lines = [*before, *lines]
    return lines[-count:] if count > 0 else [], reader


def _text(line: bytes) -> str:
    return line[:_LINE_BYTES].decode(errors="replace")
