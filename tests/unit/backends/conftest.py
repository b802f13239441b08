import os
import time

import pytest

from backends import procfs
from backends.ports import Ports
from backends.process import ProcessLauncher


@pytest.fixture
def instance(tmp_path):
    return f"unit-{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def tagged(instance):
    """What runs of this test's replicas."""
    return lambda: procfs.find_tagged(instance, "process")


@pytest.fixture
def fresh(tmp_path, instance):
    """Makes launchers of one fleet, as each start of a gateway does."""

    def make(environ=None):
        return ProcessLauncher(
            tmp_path / "replicas",
            instance,
            environ=environ or {"PATH": os.environ["PATH"]},
            ports=Ports(range(22400, 22700)),
            clock=time.monotonic,
        )

    return make
