"""Tables for people: rich on a terminal, plain columns elsewhere."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

_PLAIN_WIDTH = 200
"""Where output goes to a file or a pipe, rows must not be folded."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Print rows under their columns; ``empty`` when there are none."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    if not rows:
        console.print(empty, highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(table, highlight=False)
