"""``kill -9`` of what hosts the fleet: no replica is lost, doubled or orphaned.

Real processes, a real store, real probes; only the replicas are simulated.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from random import Random

import pytest

from tests.system.processes import belonging_to

DEADLINE_S = 60.0
COMMAND = [sys.executable, "-m", "tests.system.fleet_host"]


class Hosted:
    """A state directory, and the process that hosts its fleet now."""

    def __init__(self, state):
        self.state = state
        self.process = None

    def start(self, count):
        (self.state / "seen.json").unlink(missing_ok=True)  # of the host before
        self.process = subprocess.Popen([*COMMAND, str(self.state), str(count)])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE_S) == 0

    def ready(self, count):
        """Wait until ``count`` replicas, and no others, are READY; return id -> pid."""
        deadline = time.monotonic() + DEADLINE_S
        seen = None
        while time.monotonic() < deadline:
            with suppress(FileNotFoundError):
                seen = json.loads((self.state / "seen.json").read_text())
            up = [r for r in (seen or {}).values() if r["state"] == "ready"]
            if seen is not None and len(seen) == len(up) == count:
                return {name: r["pid"] for name, r in seen.items()}
            assert self.process.poll() is None, "the host ended by itself"
            time.sleep(0.05)
        raise AssertionError(f"not {count} ready within {DEADLINE_S} s: {seen}")

    def leaders(self):
        """Return the pids of all replicas of this fleet that run."""
        return {p.pid for p in belonging_to(self.state) if "backends.simulator" in p.command}


@pytest.fixture
def hosted(tmp_path):
    made = Hosted(tmp_path)
    yield made
    if made.process.poll() is None:
        made.kill()
    for left in belonging_to(tmp_path):
        os.kill(left.pid, signal.SIGKILL)


def test_a_restart_takes_up_what_runs_and_replaces_what_died_meanwhile(hosted):
    hosted.start(2)
    first = hosted.ready(2)
    assert hosted.leaders() == set(first.values())
    hosted.kill()
    assert hosted.leaders() == set(first.values())

    hosted.start(2)
    assert hosted.ready(2) == first
    hosted.kill()

    dead = next(iter(first))
    os.kill(first[dead], signal.SIGKILL)
    hosted.start(2)
    second = hosted.ready(2)
    assert second.keys() == first.keys()
    assert {name for name in first if second[name] != first[name]} == {dead}
    assert hosted.leaders() == set(second.values())

    hosted.finish()
    assert belonging_to(hosted.state) == []


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_point_of_starting_and_stopping_the_fleet_comes_out_whole(hosted, seed):
    rng = Random(seed)
    for count in (2, 0, 3, 1):
        hosted.start(count)
        time.sleep(rng.uniform(0.3, 2.0))
        hosted.kill()
    hosted.start(2)
    pids = hosted.ready(2)
    assert hosted.leaders() == set(pids.values())
    hosted.finish()
    assert belonging_to(hosted.state) == []
