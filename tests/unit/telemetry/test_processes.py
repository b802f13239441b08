import os

from gateway.telemetry.processes import process_metrics


def test_each_process_has_its_own_series_and_one_that_has_ended_has_none():
    no_such_pid = 2**22 + 1
    families = list(process_metrics({"supervisor": os.getpid(), "0": 1, "1": no_such_pid}))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    memory = next(f for f in families if f.name == "process_resident_memory_bytes")
    assert {sample.labels["worker"] for sample in memory.samples} == {"supervisor", "0"}
