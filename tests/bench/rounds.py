"""Measure subjects in turn: within each round every scenario goes through one, then the other.

Whatever disturbs the machine for a while then disturbs both, and the ratio of medians stands.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread

import httpx

from tests.bench.measuring import Load, Measured
from tests.bench.scenarios import SCENARIOS
from tests.bench.subjects import Subject

Runs = Mapping[tuple[str, str, str], Sequence[Measured]]
"""(path, scenario, subject's name) -> one run for each round."""

SCRAPE_S = 15.0
"""How often metrics are asked for: what Prometheus' own documentation shows."""


def measure_in_turn(
    load: Load,
    subjects: Sequence[Subject],
    plan: Sequence[tuple[str, str]],
    rounds: int,
    say: Callable[[str], None],
) -> Runs:
    """Run each (path, scenario) of ``plan`` through all subjects, ``rounds`` times."""
    runs: dict[tuple[str, str, str], list[Measured]] = defaultdict(list)
    for number in range(rounds):
        order = subjects if number % 2 == 0 else subjects[::-1]
        for path, name in plan:
            for subject in order:
                measured = load.measure(subject, path, SCENARIOS[name])
                runs[path, name, subject.name].append(measured)
            say(f"round {number + 1} of {rounds}: {path} {name}{_worries(runs, path, name)}")
    return runs


def _worries(runs: Runs, path: str, name: str) -> str:
    """Return what went wrong in the last run of each subject."""
    last = {key[2]: each[-1] for key, each in runs.items() if key[:2] == (path, name)}
    said = [f"{who}: {m.failed} failed ({m.first_error})" for who, m in last.items() if m.failed]
    said += [f"{who}: waited for the core" for who, m in last.items() if disturbed(m)]
    return "".join(f"; {each}" for each in said)


def disturbed(measured: Measured) -> bool:
    """Say whether other work kept the subject from its core for a noticeable time."""
    return measured.rqwait > MOST_RQWAIT


MOST_RQWAIT = 0.1


class Scraper:
    """Asks the gateway for its metrics all the while, as Prometheus would."""

    def __init__(self, admin_port: int) -> None:
        """Scrape nothing before the block is entered."""
        self._url = f"http://127.0.0.1:{admin_port}/metrics"
        self._end = Event()
        self._thread = Thread(target=self._run)
        self.scrapes = 0

    def __enter__(self) -> "Scraper":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(SCRAPE_S):
            self.scrapes += httpx.get(self._url, timeout=10).is_success
