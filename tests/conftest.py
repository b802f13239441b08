"""What every test may use."""

import pytest

pytest_plugins = ["tests.figures", "tests.system.running"]


@pytest.fixture
def anyio_backend():
    return "asyncio"
