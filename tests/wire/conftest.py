"""Simulators for wire tests, one per set of options and test session."""

from contextlib import ExitStack

import pytest

from tests.wire.serving import serving


@pytest.fixture(scope="session")
def _simulators():
    with ExitStack() as stack:
        cache = {}

        def start(**options):
            key = tuple(sorted(options.items()))
            if key not in cache:
                cache[key] = stack.enter_context(serving(**options))
            return cache[key]

        yield start


@pytest.fixture
def simulator(_simulators):
    """Return a function that gives the simulator with the options passed, faults cleared."""
    used = []

    def get(**options):
        served = _simulators(**options)
        used.append(served)
        return served

    yield get
    for served in used:
        served.request("DELETE", "/_sim/faults")
