"""The admin API under test: in process, or on a port of its own."""

import json
import socket
import threading
from contextlib import contextmanager

import uvicorn
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


def create_app(fleet, access=None, *, ready=True, gpus=None, refused=None):
    """Compose the admin API of ``fleet``."""

    async def render(accept):
        return f"# {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"

    async def restart():
        return refused

    views = Views(
        metrics=render,
        readiness=lambda: Readiness(ready, () if ready else ("no worker serves",)),
        config=lambda: {"server": {"port": 8080}},
        restart=restart,
        host=Host(gpus or TwoGpus(), RECIPES),
    )
    return create_admin_app(fleet, access or Access(), views)


@contextmanager
def admin(fleet, access=None, **more):
    """Give a client of the admin API of ``fleet``, in process."""
    app = create_app(fleet, access, **more)
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


@contextmanager
def serving(fleet, access=None):
    """Serve the admin API of ``fleet`` on a free port of loopback; give its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(create_app(fleet, access), log_config=None, lifespan="off")
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=60)
            assert not thread.is_alive()
