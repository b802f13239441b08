"""What every test may use."""

import pytest
from hypothesis import HealthCheck, settings

# No test fails because the machine was busy.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = ["tests.figures", "tests.system.running"]


@pytest.fixture
def anyio_backend():
    return "asyncio"
