"""One table, two ways to show it: as text in columns and as Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A title, and how to make a cell of a row."""

    title: str
    cell: Callable[[Row], str]
    words: bool = False
    """Stands to the left; numbers stand to the right."""

    def aligned(self, cell: str, width: int) -> str:
        """Return ``cell`` padded to ``width``."""
        return cell.ljust(width) if self.words else cell.rjust(width)


def as_text(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return lines for a terminal."""
    cells = [[column.title for column in columns]]
    cells += [[column.cell(row) for column in columns] for row in rows]
    widths = [max(map(len, own)) for own in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(map(Column.aligned, columns, line, widths)).rstrip() for line in cells
    )


def as_markdown(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return a table for a page."""
    lines = [[column.title for column in columns]]
    lines.append(["---" if column.words else "--:" for column in columns])
    lines += [[column.cell(row) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
