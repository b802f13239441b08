"""One gateway for all tests of real clients: it asks for a key, some models misbehave."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.sdk.clients import CLIENTS, Client
from tests.system.running import RunningGateway, gateway_config, running_gateway

GOOD, CUT, UNFINISHED = "llama-3.3-70b", "cut-mid-stream", "unfinished"
API_KEY = "test-key-of-20-visible-characters"
FAULTS = {CUT: "cut:after_tokens=5", UNFINISHED: "early_end:after_tokens=5"}


@dataclass(frozen=True)
class Target:
    """Where the clients' calls go."""

    gateway: RunningGateway

    def replica_url(self, model: str) -> str:
        """Return the URL of one replica, for asking it directly."""
        return str(self.gateway.ready_replicas(model)[0]["url"])


def _model(name: str, replicas: int) -> dict[str, object]:
    faults = [FAULTS[name]] if name in FAULTS else []
    return {
        "name": name,
        "source": "nvidia/Llama-3.3-70B-Instruct-FP8",
        "launcher": "sim",
        "replicas": {"initial": replicas},
        "sim": {"time_scale": 0.1, "faults": faults},
        "retry": {"attempts": 1},
    }


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Start the gateway once for the package."""
    folder = tmp_path_factory.mktemp("sdk")
    key_file = folder / "app.key"
    key_file.write_text(API_KEY)
    wanted = {GOOD: 2, CUT: 1, UNFINISHED: 1}
    config = gateway_config(
        folder,
        auth={"mode": "keys", "keys": [{"name": "app", "key_file": str(key_file)}]},
        models=[_model(name, replicas) for name, replicas in wanted.items()],
    )
    with running_gateway(folder, config=config, ready=wanted) as gateway:
        yield Target(gateway)


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    """Give each real client in turn."""
    return request.param
