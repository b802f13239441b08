"""Run a target under atheris for a while, and say what came of it.

The corpus grows in a folder that outlives the run: the next one goes on from there. What
breaks a law lies among the target's findings afterwards, where the tests replay it.
"""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import Target

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".fuzz"
"""Where corpora grow."""
_LONGEST_INPUT = 4096
_LONGEST_ONE_S = 300
"""Of one input: what takes so long on any machine hangs. A busy one is no finding."""
_MOST_MB = 2048
_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True)
class Run:
    """What one run came to."""

    seconds: float
    executions: int
    branches: int
    """Reached in the instrumented modules."""
    findings: int
    said: str
    """The end of what it printed."""


def why_not() -> str | None:
    """Say why atheris cannot run here; None if it can."""
    if find_spec("atheris") is not None:
        return None
    return "atheris is not installed: there are wheels for Linux on x86-64, Python 3.11 to 3.13"


def could() -> bool:
    """Say whether atheris has a wheel for this machine."""
    here = sys.platform, platform.machine()
    return here == ("linux", "x86_64") and sys.version_info < (3, 14)


def run(target: Target, seconds: int) -> Run:
    """Fuzz ``target`` for ``seconds``, from its corpus and from where the last run ended."""
    folder = WORK / target.name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    target.findings_folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.corpus()):
        (corpus / f"kept-{number}").write_bytes(data)
    words = folder / "words"
    words.write_text("".join(map(_word, target.words)))
    before = len(target.findings())
    began_at = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.under_atheris", target.name, str(corpus),
            f"-max_total_time={seconds}", f"-max_len={_LONGEST_INPUT}", f"-dict={words}",
            f"-timeout={_LONGEST_ONE_S}", f"-report_slow_units={_LONGEST_ONE_S}",
            f"-rss_limit_mb={_MOST_MB}",
            f"-artifact_prefix={target.findings_folder}{os.sep}", "-print_final_stats=1",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )  # fmt: skip
    said = done.stdout[-4000:] + done.stderr
    executed, covered = _EXECUTED.findall(said), _COVERED.findall(said)
    found = max(len(target.findings()) - before, int(done.returncode != 0))
    if not found and not executed:
        raise RuntimeError(f"atheris did not run:\n{said[-4000:]}")
    return Run(
        seconds=time.monotonic() - began_at,
        executions=int(executed[-1]) if executed else 0,
        branches=int(covered[-1][0]) if covered else 0,
        findings=found,
        said=said[-6000:],
    )


def _word(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def grown(target: Target) -> list[bytes]:
    """Return the inputs that runs have gathered so far."""
    return [path.read_bytes() for path in (WORK / target.name / "corpus").glob("*")]


def worth_keeping(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """Return those of ``inputs`` that take a step in the gateway's code no shorter one does."""
    seen: set[Any] = set()
    for data in target.seeds:
        seen |= steps(target, data)
    kept = []
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        new = steps(target, data) - seen
        if new:
            seen |= new
            kept.append(data)
    return kept


def steps(target: Target, data: bytes) -> set[Any]:
    """Return the steps from line to line that ``target`` takes in the gateway's code."""
    taken: set[Any] = set()

    def enter(frame: FrameType, _event: str, _arg: object) -> Any:
        code = frame.f_code
        if f"{os.sep}gateway{os.sep}" not in code.co_filename:
            return None
        last = 0

        def step(frame: FrameType, event: str, _arg: object) -> Any:
            nonlocal last
            if event == "line":
                taken.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        target.one(data)
    finally:
        sys.settrace(before)
    return taken
