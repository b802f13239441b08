"""What figures were measured on: they mean nothing without it."""

import os
import platform
from collections.abc import Mapping
from typing import Any

from tests.bench import procfs


def machine(**programs: str) -> dict[str, Any]:
    """Return cores, processor, kernel and Python, and the versions of ``programs``."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": procfs.processor() or platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_by": "schedstat" if procfs.counts_waiting() else "ticks",
        **programs,
    }


def in_words(machine: Mapping[str, Any]) -> str:
    """Return a sentence for what `machine` has returned."""
    nginx = f", nginx {machine['nginx']}" if "nginx" in machine else ""
    ticks = machine.get("cpu_by") == "ticks"
    by = " CPU in ticks of 10 ms; waiting for a core is not counted." if ticks else ""
    return (
        f"{machine['cores']} cores of {machine['processor']}, Linux {machine['kernel']},"
        f" Python {machine['python']}{nginx}.{by}"
    )
