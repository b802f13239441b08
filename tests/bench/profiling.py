"""Record where a worker's time goes while a load runs, with py-spy.

Figures taken meanwhile are not figures: the recorder stops the worker for each sample.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.building import CannotMeasure
from tests.bench.processes import pinned

_RATE = 500
_LONGEST_S = 600
_END_S = 60.0


@contextmanager
def recording(pid: int, file: Path, cores: Collection[int]) -> Iterator[None]:
    """Record the process in the block, from ``cores``, into ``file`` (a flame graph, SVG).

    Raises:
        CannotMeasure: py-spy is not there, or could not record.
    """
    command = [_py_spy(), "record", "--pid", str(pid), "--output", str(file)]
    command += [
        "--rate",
        str(_RATE),
        "--duration",
        str(_LONGEST_S),
        "--threads",
        "--nonblocking",
    ]
    with pinned(cores):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)  # it writes what it has
        try:
            said, _ = process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    if process.returncode or not file.exists():
        raise CannotMeasure(f"py-spy could not record: {said.decode(errors='replace')}")


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise CannotMeasure("py-spy is not installed: .venv/bin/pip install py-spy")
    return found
