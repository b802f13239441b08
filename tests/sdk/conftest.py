"""One gateway for all tests of real clients: it asks for a key; one model can misbehave."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.sdk.clients import CLIENTS, Client
from tests.system.running import RunningGateway, gateway_config, running_gateway

GOOD, FAULTY = "llama-3.3-70b", "faulty"
SOURCE = "nvidia/Llama-3.3-70B-Instruct-FP8"
NEVER = {"consecutive": 1_000_000, "failure_share": 1.0, "over_requests": 1_000_000}
"""The one that fails on purpose, over and over, stays READY."""
API_KEY = "test-key-of-20-visible-characters"


@dataclass(frozen=True)
class Target:
    """Where the clients' calls go."""

    gateway: RunningGateway

    def replica_url(self, model: str) -> str:
        """Return the URL of one replica, for asking it directly."""
        return str(self.gateway.ready_replicas(model)[0]["url"])

    @contextmanager
    def fault(self, kind: str, **keys: float) -> Iterator[None]:
        """Let the replica of the model `FAULTY` fail in this way for the block."""
        route = self.replica_url(FAULTY) + "/_sim/faults"
        httpx.post(route, json=[{"kind": kind, **keys}], timeout=10).raise_for_status()
        try:
            yield
        finally:
            httpx.delete(route, timeout=10).raise_for_status()


def _model(name: str, replicas: int) -> dict[str, object]:
    return {
        "name": name,
        "source": SOURCE,
        "launcher": "sim",
        "replicas": {"initial": replicas},
        "sim": {"time_scale": 0.1},
        "retry": {"attempts": 1},
        "eject": NEVER,
        "timeouts": {"between_tokens_s": 60 if name == GOOD else 2},
    }


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Start the gateway once for the package."""
    folder = tmp_path_factory.mktemp("sdk")
    key_file = folder / "app.key"
    key_file.write_text(API_KEY)
    wanted = {GOOD: 2, FAULTY: 1}
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
