"""Compile the mock and the load generator.

They are C because they must cost far less than what is measured, and are compiled anew for each
run: nothing built stays in the repository.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
KEY = "sk-bench-7f3c91d2a4b8e605c1f29a"
"""The API key that the load generator sends."""


class CannotMeasure(Exception):  # noqa: N818 - names the condition
    """Something that the benchmark needs is missing, or failed."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the compiled programs are."""

    mock: Path
    load: Path


def build(folder: Path) -> Programs:
    """Compile both into ``folder``.

    Raises:
        CannotMeasure: there is no gcc, or it refused.
    """
    return Programs(*(_compiled(name, folder) for name in ("mock", "load")))


def _compiled(name: str, folder: Path) -> Path:
    gcc = shutil.which("gcc")
    if gcc is None:
        raise CannotMeasure("gcc is not installed: apt-get install gcc libc6-dev")
    target = folder / name
    command = [gcc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, SOURCES / f"{name}.c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMeasure(f"gcc refused {name}.c:\n{done.stderr}")
    return target
