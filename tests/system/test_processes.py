"""The search for left-over processes finds what it must: proofs rest on it."""

import subprocess
import sys

from tests.system.processes import belonging_to
from tests.system.running import eventually

SLEEP = [sys.executable, "-c", "import time; time.sleep(100)"]


def _pids(state_dir, instances=frozenset()):
    return {found.pid for found in belonging_to(state_dir, instances)}


def test_a_replica_is_found_by_its_instance_alone(tmp_path):
    environ = {"TRTGW_INSTANCE": "gw-test-of-processes"}
    with subprocess.Popen(SLEEP, env=environ, start_new_session=True) as process:
        try:
            instances = frozenset({b"gw-test-of-processes"})
            eventually(lambda: process.pid in _pids(tmp_path, instances), "it is found")
            assert process.pid not in _pids(tmp_path)
        finally:
            process.kill()


def test_a_process_is_found_by_where_it_works_and_what_it_has_open(tmp_path):
    with (tmp_path / "replica.log").open("w") as log:
        started = [
            subprocess.Popen(SLEEP, cwd=tmp_path, env={}),
            subprocess.Popen(SLEEP, stdout=log, env={}),
            subprocess.Popen([*SLEEP, str(tmp_path / "gateway.yaml")], env={}),
        ]
    try:
        wanted = {process.pid for process in started}
        eventually(lambda: wanted <= _pids(tmp_path), "all three are found")
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert not wanted & _pids(tmp_path)


def test_a_process_that_ended_but_was_not_waited_for_does_not_count(tmp_path):
    process = subprocess.Popen(SLEEP, cwd=tmp_path)
    process.kill()
    eventually(lambda: process.pid not in _pids(tmp_path), "the zombie is not counted")
    process.wait()
