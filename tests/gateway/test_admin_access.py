"""Who may do what on the admin port."""

import pytest

from gateway.api.access import Access
from tests.fakes.fleet import FakeFleet, replica
from tests.gateway.admin_client import BASE, admin, bearer, problem, with_tokens


@pytest.fixture(scope="module")
def fleet():
    return FakeFleet(replica("r-1"))


ROUTES = [
    ("GET", "/metrics", {"metrics", "viewer", "operator", "admin"}),
    ("GET", "/openapi.json", {"viewer", "operator", "admin"}),
    ("GET", "/admin/replicas", {"viewer", "operator", "admin"}),
    ("GET", "/admin/replicas/r-1", {"viewer", "operator", "admin"}),
    ("GET", "/admin/replicas/r-1/logs", {"viewer", "operator", "admin"}),
    ("GET", "/admin/models", {"viewer", "operator", "admin"}),
    ("GET", "/admin/operations", {"viewer", "operator", "admin"}),
    ("GET", "/admin/gpus", {"viewer", "operator", "admin"}),
    ("GET", "/admin/recipes", {"viewer", "operator", "admin"}),
    ("GET", "/admin/config", {"viewer", "operator", "admin"}),
    ("POST", "/admin/config/reload", {"admin"}),
    ("POST", "/admin/plan", {"viewer", "operator", "admin"}),
    ("POST", "/admin/replicas", {"operator", "admin"}),
    ("POST", "/admin/replicas/register", {"operator", "admin"}),
    ("POST", "/admin/replicas/r-1/drain", {"operator", "admin"}),
    ("POST", "/admin/replicas/r-1/restart", {"operator", "admin"}),
    ("DELETE", "/admin/replicas/r-1", {"operator", "admin"}),
    ("DELETE", "/admin/replicas/register/r-1", {"operator", "admin"}),
    ("PATCH", "/admin/models/llama-3.3-70b", {"operator", "admin"}),
    ("POST", "/admin/models/llama-3.3-70b/scale", {"operator", "admin"}),
    ("DELETE", "/admin/models/llama-3.3-70b/scale", {"operator", "admin"}),
]


@pytest.mark.parametrize(("method", "path", "roles"), ROUTES)
def test_each_route_asks_for_its_role(fleet, method, path, roles):
    with admin(fleet, with_tokens()) as client:
        for role in ("metrics", "viewer", "operator", "admin"):
            answer = client.request(method, path, headers=bearer(role))
            if role in roles:
                assert answer.status_code not in {401, 403}, (role, answer.text)
            else:
                found = problem(answer, 403)
                assert found["type"].endswith("role-too-low")
                assert f"has role {role}" in found["detail"]


@pytest.mark.parametrize(("method", "path", "_roles"), ROUTES)
@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic dXNlcg==", "Bearer wrong-token-0123456789",
     "Bearer \xff\xfe", "bearer metrics-token-0123456789x"],
)  # fmt: skip
def test_without_a_known_token_nothing_is_shown(token_client, method, path, _roles, header):
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    answer = token_client.request(method, path, headers=headers)
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.fixture(scope="module")
def token_client(fleet):
    with admin(fleet, with_tokens()) as client:
        yield client


def test_the_scheme_is_read_in_any_case(token_client):
    headers = {"authorization": bearer("viewer")["authorization"].replace("Bearer", "bEARER")}
    assert token_client.get("/admin/replicas", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8081"}, 200),
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "null"}, 403),
    ],
)
def test_without_tokens_foreign_hosts_and_origins_are_refused(fleet, headers, status):
    access = Access(allowed_hosts=("localhost", "gateway.local"))
    assert BASE.endswith("gateway.local")
    with admin(fleet, access) as client:
        for path in ("/admin/replicas", "/healthz", "/openapi.json"):
            answer = client.get(path, headers=headers)
            if status == 200:
                assert answer.status_code == 200
            else:
                assert problem(answer, status)["type"].endswith("foreign-host")
