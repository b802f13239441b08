"""The files that the repository holds: what the tests of this folder look at."""

import ast
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@lru_cache
def files() -> list[Path]:
    """Return the tracked files and those about to be, without what .gitignore names."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def named(path: Path) -> str:
    """Return the path as people write it."""
    return path.relative_to(ROOT).as_posix()


def sources() -> list[Path]:
    """Return the Python files."""
    return [path for path in files() if path.suffix == ".py"]


def texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of every text file."""
    for path in files():
        try:
            yield named(path), path.read_text()
        except UnicodeDecodeError:
            continue


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and number of lines of each function; its docstring does not count."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            lines = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
            yield f"{named(path)}:{node.lineno} {node.name}", lines


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None or first.end_lineno is None:
        return 0
    return first.end_lineno - first.lineno + 1
