"""The in-flight board: requests that each worker has open on each replica, in shared memory.

A worker writes only its own row, so no write needs a lock and a dead worker's row can be
cleared whole; load is the sum of a column. One file, mapped by every process: a header, the
owners of the rows, then four tables of ``rows x columns`` int64, row after row: counts, since
when the oldest of these requests waits, of what kind they are, and when content last came.

Instants are seconds of ``CLOCK_MONOTONIC``, which all processes of a machine share.
"""

import fcntl
import mmap
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Self

from gateway.core.silence import Waits

_MAGIC = 0x7472677762726432
_WORD = 8
_HEADER = 8
"""Words: magic, rows, columns, rows in use, next column; the rest is spare."""
_ROWS, _COLUMNS, _USED, _NEXT = 1, 2, 3, 4
_OWNER = 2
"""Words for each row's owner: pid, start ticks."""
_TABLES = 4
_WAITS, _KINDS, _HEARD = 1, 2, 3
_WHOLE, _BEGUN = 1, 2
"""Bits of a kind (`core.silence.Waits`)."""
_PER_S = 1_000_000
"""Instants are kept in whole microseconds; 0 is none."""


class BoardMismatch(Exception):  # noqa: N818 - names the condition
    """The file is not a board, or one of another shape."""


class BoardFull(Exception):  # noqa: N818 - names the condition
    """No row or no column is free."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What all workers together know of the requests that a replica has."""

    waits_since: float | None
    """When the oldest of them was sent; None where there is none."""
    heard_at: float
    """When content last came; 0 if it never did."""
    explained: bool = False
    """Answers that come whole may fill all its places, and no stream has begun beside them."""

    @property
    def since(self) -> float | None:
        """Since when there was something to wait for and nothing came."""
        return None if self.waits_since is None else max(self.waits_since, self.heard_at)


class Row:
    """One worker's cells; only the worker that claimed it may write them."""

    __slots__ = ("_cells", "_start", "_table", "index")

    def __init__(self, cells: memoryview, index: int, start: int, table: int) -> None:
        self.index = index
        self._cells = cells
        self._start = start
        self._table = table
        """Words from a cell to the one in the next table."""

    def add(self, column: int, delta: int) -> None:
        """Count ``delta`` requests more on the replica of that column."""
        self._cells[self._start + column] += delta

    def count(self, column: int) -> int:
        """Return this worker's own requests on the replica of that column."""
        return int(self._cells[self._start + column])

    def note(self, column: int, waits: Waits | None, heard_at: float) -> None:
        """Write down what this worker knows of the replica of that column."""
        cell, table = self._start + column, self._table
        since, kinds = 0.0, 0
        if waits is not None:
            since, kinds = waits.since, waits.whole * _WHOLE | waits.begun * _BEGUN
        self._cells[cell + _WAITS * table] = int(since * _PER_S)
        self._cells[cell + _KINDS * table] = kinds
        self._cells[cell + _HEARD * table] = int(heard_at * _PER_S)


class Board:
    """A mapped board file; made by `create` (the supervisor) or `open` (a worker)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("r+b")
        size = os.fstat(self._file.fileno()).st_size
        if size < _HEADER * _WORD:
            self._file.close()
            raise BoardMismatch(f"{path} is no in-flight board: it has {size} bytes")
        self._map = mmap.mmap(self._file.fileno(), size)
        self._cells = memoryview(self._map).cast("q")
        self.rows, self.columns = self._cells[_ROWS], self._cells[_COLUMNS]
        if self._cells[0] != _MAGIC or size != _size(self.rows, self.columns):
            self.close()
            raise BoardMismatch(f"{path} is no in-flight board of this version")
        self._counts = _HEADER + _OWNER * self.rows
        self._table = self.rows * self.columns

    @classmethod
    def create(cls, path: Path, *, rows: int = 64, columns: int = 1024) -> Self:
        """Make the file, or take up one of the same shape: workers may have it mapped."""
        try:
            board = cls(path)
        except (FileNotFoundError, BoardMismatch):
            return cls._replace(path, rows, columns)
        if (board.rows, board.columns) == (rows, columns):
            return board
        board.close()
        return cls._replace(path, rows, columns)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a board that exists.

        Raises:
            FileNotFoundError: there is none.
            BoardMismatch: the file is something else.
        """
        return cls(path)

    @classmethod
    def _replace(cls, path: Path, rows: int, columns: int) -> Self:
        # a new file under the old name: a process that mapped the old one keeps its pages
        fresh = path.with_name(path.name + ".new")
        header = [_MAGIC, rows, columns, *[0] * (_HEADER - 3)]
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(b"".join(word.to_bytes(_WORD, "little") for word in header))
            file.truncate(_size(rows, columns))
        fresh.replace(path)
        return cls(path)

    def claim_row(self, pid: int, start_ticks: int) -> Row:
        """Take a free row for the process ``pid``, all counts 0.

        Raises:
            BoardFull: every row has an owner; clear those of dead workers first.
        """
        with self._locked():
            for index in range(self.rows):
                if self._cells[self._owner(index)] == 0:
                    return self._claim(index, pid, start_ticks)
        raise BoardFull(f"all {self.rows} rows of {self._path} are taken")

    def release_row(self, row: Row) -> None:
        """Give a row back; the worker must have no request open."""
        with self._locked():
            self._clear(row.index)

    def clear_dead_rows(self, is_alive: Callable[[int, int], bool]) -> list[int]:
        """Clear the rows whose owner (pid, start ticks) is gone; return their pids."""
        dead = []
        with self._locked():
            for index in range(self._cells[_USED]):
                pid, ticks = (
                    self._cells[self._owner(index)],
                    self._cells[self._owner(index) + 1],
                )
                if pid and not is_alive(pid, ticks):
                    self._clear(index)
                    dead.append(pid)
        return dead

    def owners(self) -> list[int]:
        """Return the pids of the workers that own rows, dead ones included."""
        owners = (self._cells[self._owner(index)] for index in range(self._cells[_USED]))
        return [pid for pid in owners if pid]

    def load(self, column: int) -> int:
        """Return the requests that all workers have open on the replica of that column."""
        start, width = self._counts + column, self.columns
        end = start + self._cells[_USED] * width
        return sum(self._cells[start:end:width])

    def loads(self, columns: Sequence[int]) -> list[int]:
        """Return `load` of each column, same order."""
        cells, width = self._cells, self.columns
        base, span = self._counts, cells[_USED] * width
        return [sum(cells[base + c : base + c + span : width]) for c in columns]

    def silence(self, column: int) -> Silence:
        """Return what all workers noted of the replica of that column."""
        waits = [each for each in self._noted(column, _WAITS) if each]
        kinds = reduce(or_, self._noted(column, _KINDS), 0)
        heard = max(self._noted(column, _HEARD), default=0)
        since = min(waits) / _PER_S if waits else None
        return Silence(since, heard / _PER_S, explained=kinds == _WHOLE)

    def _noted(self, column: int, table: int) -> Sequence[int]:
        start, width = self._counts + column + table * self._table, self.columns
        return self._cells[start : start + self._cells[_USED] * width : width].tolist()

    def take_column(self, held: Collection[int]) -> int:
        """Choose a column for a new replica: not held, no requests on it, longest unused first.

        Columns are given out in turn, round the whole board, so that one comes back only after
        all others: a worker that still knows its old replica would count on the new one's.

        Raises:
            BoardFull: no column is free.
        """
        with self._locked():
            for step in range(self.columns):
                column = (self._cells[_NEXT] + step) % self.columns
                if column not in held and self.load(column) == 0:
                    self._cells[_NEXT] = (column + 1) % self.columns
                    return column
        raise BoardFull(f"all {self.columns} columns of {self._path} are taken")

    def close(self) -> None:
        """Unmap the file; rows taken from it are of no use any more."""
        self._cells.release()
        self._map.close()
        self._file.close()

    def _owner(self, index: int) -> int:
        return _HEADER + _OWNER * index

    def _claim(self, index: int, pid: int, start_ticks: int) -> Row:
        owner, start = self._owner(index), self._counts + index * self.columns
        self._zero(index)
        self._cells[owner + 1] = start_ticks
        self._cells[owner] = pid  # last: a half-written claim has no owner and no counts
        self._cells[_USED] = max(self._cells[_USED], index + 1)
        return Row(self._cells, index, start, self._table)

    def _clear(self, index: int) -> None:
        self._zero(index)
        self._cells[self._owner(index)] = 0
        used = self._cells[_USED]
        while used and self._cells[self._owner(used - 1)] == 0:
            used -= 1
        self._cells[_USED] = used  # loads read only rows below it: fewer rows, faster sums

    def _zero(self, index: int) -> None:
        row = bytes(self.columns * _WORD)
        for table in range(_TABLES):
            start = self._counts + table * self._table + index * self.columns
            self._map[start * _WORD : (start + self.columns) * _WORD] = row

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # between processes only: within one, each caller runs on the event loop's thread
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _size(rows: int, columns: int) -> int:
    return _WORD * (_HEADER + _OWNER * rows + _TABLES * rows * columns)
