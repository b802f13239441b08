"""The admin API in process, over Litestar's test client."""

import json
from contextlib import contextmanager

from litestar.testing import TestClient

from backends.gpus import parse_spec
from backends.recipes import read_recipes
from gateway.api.access import Access
from gateway.api.admin import Views, create_admin_app
from gateway.api.admin_planning import Host
from gateway.api.health import Readiness
from gateway.config.secrets import TokenDigest
from gateway.core.keys import digest_key

BASE = "http://gateway.local"
PEPPER = bytes(range(32))
TOKENS = {
    role: f"{role}-token-0123456789" for role in ("metrics", "viewer", "operator", "admin")
}
RECIPES = read_recipes()


class TwoGpus:
    """A host with two H100s."""

    def read(self):
        return parse_spec("2xH100-80G")


def with_tokens():
    """An access that knows one token of each role."""
    return Access(
        tokens=tuple(
            TokenDigest(role, role, digest_key(secret.encode(), PEPPER))
            for role, secret in TOKENS.items()
        ),
        pepper=PEPPER,
    )


@contextmanager
def admin(fleet, access=None, *, ready=True, gpus=None):
    """Give a client of the admin API of ``fleet``."""

    async def render(accept):
        return f"# {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"

    views = Views(
        metrics=render,
        readiness=lambda: Readiness(ready, () if ready else ("no worker serves",)),
        config=lambda: {"server": {"port": 8080}},
        host=Host(gpus or TwoGpus(), RECIPES),
    )
    app = create_admin_app(fleet, access or Access(), views)
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
        yield client


def bearer(role):
    """The header of a token of that role."""
    return {"authorization": f"Bearer {TOKENS[role]}"}


def problem(answer, status):
    """The problem in an answer, after a check of its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:trtgw:problem:")
    assert body["title"]
    assert body["detail"]
    return body


def events(answer):
    """The events of a server-sent stream: (name, JSON)."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream"
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if fields:
            found.append((fields.get("event"), json.loads(fields["data"])))
    return found
