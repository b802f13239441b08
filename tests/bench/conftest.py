"""What the tests of the benchmark share: its programs, compiled once."""

import pytest

from tests.bench.building import build
from tests.bench.processes import allow_many_connections


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    allow_many_connections()
    return build(tmp_path_factory.mktemp("programs"))
