"""One gateway with a replica of each release, for all of these tests."""

import pytest

from tests.differential.asking import Asking
from tests.differential.replicas import replicas
from tests.differential.verdict import Bench
from tests.system.running import gateway_config, running_gateway


@pytest.fixture(scope="package")
def benches(tmp_path_factory):
    """Give a `Bench` for each release."""
    folder = tmp_path_factory.mktemp("differential")
    asking = Asking()
    with replicas() as running:
        models = [
            {"name": each.model, "aliases": [each.source], "static": [each.url]}
            for each in running.values()
        ]
        config = gateway_config(
            folder,
            server={"workers": 1},
            telemetry={"log": {"level": "error"}},  # a failure shows what was asked itself
            models=models,
        )
        ready = {each.model: 1 for each in running.values()}
        with running_gateway(folder, config=config, ready=ready) as gateway:
            yield {name: Bench(each, gateway.url, asking) for name, each in running.items()}
            asking.close_all()
