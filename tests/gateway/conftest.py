"""All that is said of the data port holds on both ways to a client."""

import pytest

from tests.gateway.data_gateway import CLIENTS, DataGateway


def pytest_generate_tests(metafunc):
    if metafunc.module.__name__.rpartition(".")[2].startswith("test_data_"):
        metafunc.parametrize("way", CLIENTS, indirect=True)


@pytest.fixture(autouse=True)
def way(request, monkeypatch):
    """The admin port's tests, which have no parameter, do not care."""
    monkeypatch.setattr(DataGateway, "way", getattr(request, "param", "portable"))
