import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.gpus import Inventory
from gateway.state.store import OperationState
from tests.fakes.fleet import FakeFleet, model, replica
from tests.gateway.admin_client import admin, bearer, events, problem, with_tokens


@pytest.fixture(scope="module")
def fleet():
    return FakeFleet(replica("r-1"), models=("llama-3.3-70b", "org/name"))


@pytest.fixture(scope="module")
def client(fleet):
    with admin(fleet) as client:
        yield client


def test_models_are_listed_with_their_status(client):
    first, second = client.get("/admin/models").json()["items"]
    assert first["name"] == "llama-3.3-70b"
    assert first["status"] == "ready"
    assert set(first) >= {"desired", "ready", "loading", "min", "max", "pinned", "launcher"}
    assert client.get("/admin/models/org/name").json() == second


@pytest.mark.parametrize(
    ("changes", "replicas", "status"),
    [
        ({"ready": 1}, (), "ready"),
        ({"ready": 0, "loading": 1}, (), "loading"),
        ({"ready": 0, "desired": 1}, (), "down"),
        ({"ready": 0, "desired": 0}, (), "asleep"),
        ({"ready": 0, "desired": 0}, (replica("s", "m", launcher="static"),), "down"),
    ],
)
def test_a_models_status_is_one_word(changes, replicas, status):
    fleet = FakeFleet(*replicas, models=())
    fleet.statuses["m"] = model("m", **changes)
    with admin(fleet) as client:
        assert client.get("/admin/models/m").json()["status"] == status


@pytest.mark.parametrize("name", ["llama-3.3-70b", "org/name"])
def test_scaling_pins_and_deleting_the_scale_unpins(client, name):
    answer = client.post(f"/admin/models/{name}/scale", json={"replicas": 3})
    assert answer.status_code == 202
    assert answer.json()["model"] == name
    assert client.get(f"/admin/models/{name}").json()["pinned"]
    unpinned = client.delete(f"/admin/models/{name}/scale")
    assert (unpinned.status_code, unpinned.json()["pinned"]) == (200, False)


def test_patching_replicas_pins_null_unpins_and_nothing_changes_nothing(client):
    path = "/admin/models/llama-3.3-70b"
    assert client.patch(path, json={"replicas": 2}).json()["desired"] == 2
    assert client.patch(path, json={}).json()["pinned"]
    assert not client.patch(path, json={"replicas": None}).json()["pinned"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/admin/models/none/scale", {"replicas": 1}, 404),
        ("POST", "/admin/models/a/b/scale", {"replicas": 1}, 404),
        ("POST", "/admin/models/llama-3.3-70b/scale", {"replicas": 9}, 409),
        ("POST", "/admin/models/llama-3.3-70b/scale", {"replicas": -1}, 400),
        ("POST", "/admin/models/llama-3.3-70b/scale", {"replicas": "two"}, 400),
        ("POST", "/admin/models/llama-3.3-70b/scale", {"replicas": True}, 400),
        ("POST", "/admin/models/llama-3.3-70b/scale", {}, 400),
        ("DELETE", "/admin/models/none/scale", None, 404),
        ("PATCH", "/admin/models/none", {"replicas": 1}, 404),
        ("PATCH", "/admin/models/none", {}, 404),
        ("PATCH", "/admin/models/llama-3.3-70b", {"split": []}, 400),
        ("GET", "/admin/models/none", None, 404),
        ("GET", "/admin/operations/none", None, 404),
        ("GET", "/admin/operations/none?follow=true", None, 404),
    ],
)
def test_what_cannot_be_done_to_a_model_is_a_problem(client, method, path, body, status):
    problem(client.request(method, path, json=body), status)


def test_operations_are_listed_newest_last_and_followed_to_their_end():
    fleet = FakeFleet(replica("r-1"))
    with admin(fleet) as client:
        ids = [client.post("/admin/replicas/r-1/drain").json()["id"] for _ in range(2)]
        assert [o["id"] for o in client.get("/admin/operations").json()["items"]] == ids
        running = fleet.operation(ids[0])
        done = replace(running, state=OperationState.DONE, progress=1.0, step="stopped")
        fleet.known[ids[0]] += [replace(running, progress=0.5), done]
        steps = events(client.get(f"/admin/operations/{ids[0]}?follow=true"))
        assert [event["progress"] for _, event in steps] == [0.0, 0.5, 1.0]
        assert client.get(f"/admin/operations/{ids[0]}").json()["state"] == "done"


def test_gpus_are_listed_with_their_owner():
    owner = replica("r-1")
    owner = replace(owner, spec=replace(owner.spec, gpus=("GPU-hypothetical-0",)))
    with admin(FakeFleet(owner)) as client:
        shown = client.get("/admin/gpus").json()
        assert [gpu["replica_id"] for gpu in shown["items"]] == ["r-1", None]
        assert shown["items"][0]["compute_capability"] == "9.0"
        taken = problem(
            client.post("/admin/plan", json={"model": "llama-3.3-70b", "gpus": 2}), 422
        )
        assert taken["code"] == "not_enough_gpus"


def test_a_host_without_gpus_says_why():
    class NoDriver:
        def read(self):
            return Inventory(problem="no NVIDIA driver is installed")

    with admin(FakeFleet(), gpus=NoDriver()) as client:
        assert client.get("/admin/gpus").json() == {
            "items": [], "driver": None, "problem": "no NVIDIA driver is installed",
        }  # fmt: skip
        refused = problem(client.post("/admin/plan", json={"model": "llama-3.3-70b"}), 422)
        assert refused["code"] == "no_gpu"
        assert refused["nearest"]


def test_a_plan_shows_command_memory_and_reasons(client):
    shown = client.post("/admin/plan", json={"model": "llama-3.3-70b"}).json()
    assert shown["recipe"] == "llama-3.3-70b-fp8"
    assert shown["command"]["argv"][0] == "trtllm-serve"
    assert shown["memory"]["kv_cache_tokens"] > 0
    assert shown["reasons"]
    imagined = {"model": "llama-3.3-70b", "gpus": "1xB200", "precision": "nvfp4"}
    assert client.post("/admin/plan", json=imagined).json()["precision"] == "nvfp4"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "llama-3.3-70b", "gpus": "2xZ9"}, 400),
        ({"model": "llama-3.3-70b", "gpus": 0}, 400),
        ({"model": "llama-3.3-70b", "max_seq_len": 0}, 400),
        ({"model": "nobody/knows"}, 422),
        ({"model": "llama-3.3-70b", "overrides": {"no_such_knob": 1}}, 422),
        ({"gpus": 1}, 400),
    ],
)
def test_a_plan_that_cannot_be_made_is_a_problem(client, body, status):
    problem(client.post("/admin/plan", json=body), status)


def test_recipes_configuration_and_description_are_shown(client):
    recipes = client.get("/admin/recipes").json()["items"]
    assert "llama-3.3-70b-fp8" in {recipe["id"] for recipe in recipes}
    assert client.get("/admin/config").json() == {"server": {"port": 8080}}
    described = client.get("/openapi.json").json()
    assert set(described["paths"]["/admin/replicas"]) == {"get", "post"}
    assert "/admin/models/{name}/scale" in described["paths"]
    for path in ("/schema", "/schema/swagger", "/docs"):
        problem(client.get(path), 404)


def test_health_readiness_and_metrics():
    with admin(FakeFleet(), with_tokens(), ready=False) as client:
        assert client.get("/healthz").json() == {"status": "ok", "run": ""}
        unready = client.get("/readyz")
        assert unready.status_code == 503
        assert unready.json() == {
            "ready": False,
            "reasons": ["no worker serves"],
            "run": "",
        }
        headers = {**bearer("metrics"), "accept": "application/openmetrics-text"}
        scraped = client.get("/metrics", headers=headers)
        assert scraped.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert scraped.text == "# application/openmetrics-text\n"
    with admin(FakeFleet()) as client:
        assert client.get("/readyz").status_code == 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
keys = st.sampled_from(
    ["model", "url", "replicas", "gpus", "precision", "overrides", "launcher"]
)
texts = st.sampled_from(["llama-3.3-70b", "fp8", "sim", "2xH100-80G", "http://r:1"])
bodies = st.dictionaries(keys, json_values | texts, max_size=5)
POSTS = [
    "/admin/replicas", "/admin/replicas?dry_run=true", "/admin/replicas/register",
    "/admin/models/llama-3.3-70b/scale", "/admin/plan",
]  # fmt: skip


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(POSTS), body=bodies | json_values)
def test_no_body_is_a_500(client, path, body):
    answer = client.post(path, content=json.dumps(body).encode())
    assert answer.status_code < 500, answer.text
    if answer.is_error:
        problem(answer, answer.status_code)


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(POSTS), content=st.binary(max_size=64))
def test_no_bytes_are_a_500(client, path, content):
    problem(client.post(path, content=content), 400)


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PATCH", "PUT", "HEAD"]),
    path=st.lists(
        st.sampled_from(["admin", "replicas", "models", "scale", "register", "r-1", "%2e", "ü"])
    ),
    query=st.sampled_from(["", "?grace_s=x", "?follow=1", "?tail=1e9", "?%ff=%00"]),
)
def test_no_path_is_a_500(client, method, path, query):
    answer = client.request(method, "/" + "/".join(path) + query)
    assert answer.status_code < 500
