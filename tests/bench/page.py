"""Write the kept figures into ``docs/performance.md``, between its marks.

Rule: the figures in the page are never edited by hand; a test compares them with the files.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench import report, scaling
from tests.bench.machine import in_words
from tests.bench.scenarios import PATHS, SCENARIOS
from tests.bench.tables import Column, as_markdown

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "figures"
_BLOCK = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_JSON = Mapping[str, Any]
_SCENARIO_COLUMNS = (
    Column("scenario", lambda row: f"`{row['name']}`", words=True),
    Column("load", lambda row: str(row["what"]), words=True),
)


def write() -> None:
    """Write the page again."""
    PAGE.write_text(filled(PAGE.read_text(), FIGURES))


def filled(text: str, figures: Path) -> str:
    """Return ``text`` with each block made from the tables here and the files in ``figures``.

    Raises:
        KeyError: a block has a name that is not known, or a file holds something else.
    """

    def block(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        return f"{begin}\n{_BLOCKS[name](figures)}\n\n{end}"

    return _BLOCK.sub(block, text)


def _scenarios(_figures: Path) -> str:
    rows = [{"name": name, "what": each.what} for name, each in SCENARIOS.items()]
    return as_markdown(_SCENARIO_COLUMNS, rows)


def _data_plane(figures: Path) -> str:
    kept = json.loads((figures / "data_plane.json").read_text())
    parts = [in_words(kept["machine"])]
    for path in kept["rounds"]:
        rows = [row for row in kept["table"] if row["path"] == path]
        parts.append(f"`{PATHS[path]}`, medians of {_rounds(kept, path)} rounds:")
        parts.append(as_markdown(report.COLUMNS, rows))
    return "\n\n".join(parts)


def _rounds(kept: _JSON, path: str) -> int:
    scenarios = kept["rounds"][path].values()
    return min(len(runs) for scenario in scenarios for runs in scenario.values())


def _scaling(figures: Path) -> str:
    file = figures / "scaling.json"
    if not file.exists():
        return "*No figures are kept: that needs a machine of more cores.*"
    kept = json.loads(file.read_text())
    table = as_markdown(scaling.COLUMNS, kept["steps"])
    return f"{in_words(kept['machine'])} `{PATHS[kept['path']]}`:\n\n{table}"


_BLOCKS: Mapping[str, Callable[[Path], str]] = {
    "scenarios": _scenarios,
    "data_plane": _data_plane,
    "scaling": _scaling,
}
