"""Figures that tests measure: kept in ``docs/figures`` when asked for, forgotten otherwise.

No test fails for a figure that depends on how busy the machine is.
"""

import json
import os
import platform
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--figures", default=None, help="keep measured figures in this folder")


@pytest.fixture
def note_figures(request):
    """Return a function that keeps named figures of a test, with what they were measured on."""
    folder = request.config.getoption("--figures")

    def note(name, **figures):
        if folder is None:
            return
        path = Path(folder) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        text = json.dumps({"figures": figures, "machine": machine}, indent=1, sort_keys=True)
        path.write_text(text + "\n")

    return note
