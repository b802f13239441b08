import ctypes
import errno
import os
import subprocess
import sys
import time

import pytest

from backends import procfs


def spawn_sleeper(**tags):
    return subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={"PATH": os.environ["PATH"], **tags},
        start_new_session=True,
    )


@pytest.fixture
def sleeper():
    tags = {
        procfs.INSTANCE: f"procfs-{os.getpid()}",
        procfs.LAUNCHER: "process",
        procfs.REPLICA_ID: "r1",
    }
    with spawn_sleeper(**tags) as process:
        yield process
        process.kill()


def test_a_process_is_found_by_all_its_tags_and_no_others(sleeper):
    instance = f"procfs-{os.getpid()}"
    [found] = procfs.find_tagged(instance, "process")
    assert (found.pid, found.tags[procfs.REPLICA_ID]) == (sleeper.pid, "r1")
    assert found.is_leader
    assert procfs.find_tagged(instance, "sim") == []
    assert procfs.find_tagged(instance[:-1], "process") == []


def test_a_descendant_in_a_session_of_its_own_is_no_leader(sleeper):
    stat = procfs.read_stat(sleeper.pid)
    inherited = procfs.TaggedProcess(sleeper.pid, stat, {procfs.LEADER: "1"})
    assert not inherited.is_leader


def test_a_pid_that_changed_hands_is_not_opened_and_gets_no_signal(sleeper):
    stat = procfs.read_stat(sleeper.pid)
    assert procfs.open_pidfd(sleeper.pid, stat.start_ticks + 1) is None
    other = procfs.Stat(stat.state, stat.parent, stat.session, stat.flags, stat.start_ticks + 1)
    procfs.send_signal(procfs.TaggedProcess(sleeper.pid, other, {}), procfs.signal.SIGKILL)
    assert sleeper.poll() is None
    pidfd = procfs.open_pidfd(sleeper.pid, stat.start_ticks)
    os.close(pidfd)


def test_what_is_gone_is_not_there(sleeper):
    stat = procfs.read_stat(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert procfs.read_stat(sleeper.pid) is None
    assert procfs.open_pidfd(sleeper.pid, stat.start_ticks) is None


def test_a_kernel_thread_and_the_dead_are_not_between_two_programs():
    kernel = procfs.read_stat(2)
    assert kernel is None or not procfs._in_exec(2, [b""])
    assert not procfs._in_exec(os.getpid(), [b"A=1"])
    assert not procfs._in_exec(2**22 + 1, [b""])


def test_a_process_that_shows_no_environment_is_looked_at_again(monkeypatch, sleeper):
    seen, real = [], procfs._environment

    def hidden_at_first(pid):
        if pid != sleeper.pid or len(seen) > 0:
            return real(pid)
        seen.append(pid)
        return [b""]

    monkeypatch.setattr(procfs, "_environment", hidden_at_first)
    assert len(procfs.find_tagged(f"procfs-{os.getpid()}", "process")) == 1
    assert seen == [sleeper.pid]


_TREE = """
import os, sys
os.setsid()
if os.fork() == 0:
    sys.stdin.read()      # a rank, until the test lets it go
else:
    print(os.getpid(), flush=True)
"""


@pytest.fixture
def subreaper():
    procfs.become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.mark.usefixtures("subreaper")
def test_orphans_come_to_a_subreaper_and_can_be_collected():
    read, write = os.pipe()
    before = set(procfs._children())
    subprocess.run(
        [sys.executable, "-c", _TREE], stdin=read, stdout=subprocess.DEVNULL, check=True
    )
    os.close(read)
    [orphan] = set(procfs._children()) - before
    assert orphan not in {pid for pid, _ in procfs.dead_children()}
    os.close(write)
    deadline = time.monotonic() + 60
    while orphan not in {pid for pid, _ in procfs.dead_children()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    procfs.collect(orphan)
    procfs.collect(orphan)
    assert procfs.read_stat(orphan) is None


def test_a_kernel_that_refuses_a_subreaper_is_an_error(monkeypatch):
    class Refusing:
        def prctl(self, *_):
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing())
    with pytest.raises(OSError, match="Invalid argument"):
        procfs.become_subreaper()


def test_the_boot_has_an_id():
    assert len(procfs.boot_id()) == 36
