import os

from tests.bench import procfs


def test_a_kernel_without_schedstat_counts_in_ticks(monkeypatch):
    monkeypatch.setattr(procfs, "counts_waiting", lambda: False)
    before = procfs.used([os.getpid()])
    while procfs.used([os.getpid()]).cpu_us == before.cpu_us:
        pass  # burns until the next tick
    spent = procfs.used([os.getpid()]).since(before)
    assert spent.cpu_us % 10_000 == 0
    assert spent.waited_us == 0


def test_a_process_that_is_gone_used_nothing(monkeypatch):
    monkeypatch.setattr(procfs, "counts_waiting", lambda: False)
    assert procfs.used([2**30]).cpu_us == 0
