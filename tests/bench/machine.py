"""What figures were measured on: they mean nothing without it."""

import os
import platform
from typing import Any

from tests.bench import procfs


def machine() -> dict[str, Any]:
    """Return the machine's cores, processor, kernel and Python."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": procfs.processor() or platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
