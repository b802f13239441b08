"""The gateway's parsers under fuzz: for a moment in every test run, for ten minutes in proof.

What was kept of long runs, and whatever broke a law once, is read again in every run.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.drawing import inputs
from tests.fuzz.running import ROOT, could, grown, run, why_not, worth_keeping
from tests.fuzz.targets import TARGETS

every = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
EXAMPLES = 300
PROVED_S, SLICE_S = 600, 60
FINDINGS = [
    pytest.param(target, path, id=f"{target.name}-{path.name}")
    for target in TARGETS.values()
    for path in target.findings()
]


@every
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_no_bytes_break_a_law(target, data):
    target.one(data.draw(inputs(target)))


@every
def test_what_long_runs_kept_breaks_no_law(target):
    for data in target.corpus():
        target.one(data)


@pytest.mark.parametrize(("target", "path"), FINDINGS)
def test_what_once_broke_a_law_does_so_no_more(target, path):
    target.one(path.read_bytes())


@every
def test_bytes_without_any_meaning_break_no_law(target):
    for data in (b"", b"\x00", b"\xff" * 3, bytes(range(256)) * 4):
        target.one(data)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@every
def test_ten_minutes_of_fuzzing_by_coverage_find_nothing(target, request, note_figures):
    if (reason := why_not()) is not None:
        assert not could(), f"{reason}; `make proof` installs it"
        pytest.skip(reason)
    figures = request.config.getoption("--figures")
    kept = Kept(target.name, figures and Path(figures))
    while kept.tally.seconds < PROVED_S and not kept.tally.findings:
        kept.add(run(target, SLICE_S))
    if not kept.tally.findings:
        target.keep(iter(worth_keeping(target, grown(target))))
    note_figures("fuzz", **kept.with_others(corpus=len(target.corpus())))
    kept.forget()
    assert kept.tally.findings == 0, f"see {target.findings_folder}, and {kept.said}"


@dataclass
class Tally:
    seconds: float = 0
    executions: int = 0
    branches: int = 0
    findings: int = 0


class Kept:
    """What the slices so far came to, on disk: a run that was broken off goes on from there.

    It counts only for the very sources that it was measured on.
    """

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.tally, self.said = Tally(), ""
        digest = hashlib.sha256()
        for source in sorted((ROOT / "gateway").rglob("*.py")):
            digest.update(source.read_bytes())
        self.sources = digest.hexdigest()
        if folder and self._path.exists():
            found = json.loads(self._path.read_text())
            if found["sources"] == self.sources:
                self.tally = Tally(**found["tally"])

    @property
    def _path(self):
        return self.folder / f"fuzz.{self.name}.partial.json"

    def add(self, came):
        tally = self.tally
        tally.seconds += came.seconds
        tally.executions += came.executions
        tally.branches = max(tally.branches, came.branches)
        tally.findings += came.findings
        self.said = came.said
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            state = {"sources": self.sources, "tally": asdict(tally)}
            self._path.write_text(json.dumps(state))

    def with_others(self, *, corpus):
        """Return this target's figures, and those of others that were measured before."""
        path = self.folder and self.folder / "fuzz.json"
        before = json.loads(path.read_text())["figures"] if path and path.exists() else {}
        mine = asdict(self.tally) | {"seconds": round(self.tally.seconds), "corpus": corpus}
        return before | {self.name: mine}

    def forget(self):
        if self.folder:
            self._path.unlink(missing_ok=True)
